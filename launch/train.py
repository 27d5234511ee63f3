"""Trains the model of a config; continues where the workdir's run stopped.

  python -m launch.train
  python -m launch.train --config=experiments/mnist_mlp.py \\
    --manual_dir=FOLDER --workdir=runs/seed1 --config.seed=1
  python -m launch.train --workdir=runs/seed1   # goes on with its own config
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from fmvae.files import InUseError
from fmvae.training import checkpoints, loop, records
from launch import common

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment, else experiments/digits.py; its fields are flags, as in "
  "--config.seed=1.",
)
_PRETRAINED = flags.DEFINE_string(
  "pretrained",
  None,
  "Workdir of a run of the first phase alone, to start from.",
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
  config = _CONFIG.value
  if not common.config_is_given() and (workdir / "config.json").exists():
    config = records.read_config(workdir)
  experiment = common.build(argv, config)
  try:
    initial = None
    if _PRETRAINED.value:
      initial = checkpoints.restore_pretrained(
        experiment, pathlib.Path(_PRETRAINED.value)
      )
    loop.prepare(experiment, workdir)
  except ValueError as error:
    sys.exit(f"error: {error}")
  print(experiment.describe_data())
  try:
    loop.train(experiment, workdir, initial=initial)
  except (InUseError, FloatingPointError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  common.run_with_config(main, "experiments/digits.py")
