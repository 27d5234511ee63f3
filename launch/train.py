"""Trains the model of a config; continues where the workdir's run stopped.

  python -m launch.train
  python -m launch.train --config=experiments/mnist_mlp.py \\
    --manual_dir=FOLDER --workdir=runs/seed1 --config.seed=1
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from fmvae.training import loop
from launch import common

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment, else experiments/digits.py; its fields are flags, as in "
  "--config.seed=1.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Where the run is kept; else runs/NAME for NAME.py.",
)


def main(argv: list[str]) -> None:
  """Builds the experiment, then trains it."""
  name = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"]))
  workdir = pathlib.Path(_WORKDIR.value or f"runs/{name.stem}")
  experiment = common.build(argv, _CONFIG.value)
  try:
    loop.prepare(experiment, workdir)
  except ValueError as error:
    sys.exit(f"error: {error}")
  try:
    loop.train(experiment, workdir)
  except FloatingPointError as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  common.run_with_config(main)
