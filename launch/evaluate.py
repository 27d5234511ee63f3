"""Evaluates a run at its newest checkpoint: the test bound and a picture.

python -m launch.evaluate --workdir=runs/digits --samples=10
"""

import pathlib
import sys

from absl import app, flags

from fmvae import evaluation
from fmvae.training import checkpoints, records
from launch import common

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
_SAMPLES = flags.DEFINE_integer(
  "samples", 1, "Draws of z per test image.", lower_bound=1
)


def main(argv: list[str]) -> None:
  """Restores the newest state and reports on it."""
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    config = records.read_config(workdir)
    experiment = common.build(argv, config)
    with checkpoints.Checkpoints(workdir) as saved:
      state = saved.restore(experiment.init())
  except ValueError as error:
    sys.exit(f"error: {error}")
  result = evaluation.evaluate(experiment, state, _SAMPLES.value)
  evaluation.report(experiment, state, workdir, result, _SAMPLES.value)


if __name__ == "__main__":
  app.run(main)
