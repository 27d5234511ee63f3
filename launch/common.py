"""Flags and checks that the programs in this folder share."""

import sys

from absl import flags, logging
from ml_collections import ConfigDict

from fmvae import experiment

_DATA_DIR = flags.DEFINE_string(
  "data_dir",
  None,
  "Where prepared data sets are kept; else as TFDS does.",
)
_MANUAL_DIR = flags.DEFINE_string(
  "manual_dir", None, "Where source files of data sets lie; else downloaded."
)


def build(argv: list[str], config: ConfigDict) -> experiment.Experiment:
  """The experiment of a config; ends the program with a sentence on bad input.

  Args:
    argv: what `app.run` passes; anything left over in it is an error.
    config: what the flags resolved to.
  """
  if flags.FLAGS["verbosity"].using_default_value:
    logging.set_verbosity(logging.WARNING)  # libraries log each file they write
  if len(argv) > 1:
    sys.exit(f"error: unexpected argument {argv[1]!r}; fields need --config.")
  try:
    return experiment.build(
      config, data_dir=_DATA_DIR.value, manual_dir=_MANUAL_DIR.value
    )
  except ValueError as error:
    sys.exit(f"error: {error}")
