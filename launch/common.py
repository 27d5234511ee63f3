"""Flags and checks that the programs in this folder share."""

import ast
import functools
import os
import re
import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict

from fmvae import experiment
from fmvae.training import processes

DATA_DIR = flags.DEFINE_string(
  "data_dir",
  None,
  "The folder where prepared data sets are kept. By default it is that of "
  "TensorFlow Datasets (TFDS), ~/tensorflow_datasets.",
)
MANUAL_DIR = flags.DEFINE_string(
  "manual_dir",
  None,
  "The folder that holds the original files of the data set, directly or in a "
  "folder with its name. Without it they are downloaded, where that is "
  "possible.",
)
COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  os.environ.get("JAX_COMPILATION_CACHE_DIR")
  or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "fmvae"
  ),
  "The folder where compiled programs are kept, for a faster start the next "
  "time. With '' none are kept.",
)


def run_with_config(
  main: Callable[[list[str]], None], default_config: str
) -> None:
  """`app.run` for a `--config`; one that cannot be read costs one sentence."""
  app.run(main, flags_parser=functools.partial(_parse_flags, default_config))


def config_is_given() -> bool:
  """Whether the command line names a config or a field of one."""
  return any(re.match(r"--?config($|[=.])", arg) for arg in sys.argv[1:])


def _parse_flags(default_config: str, argv: list[str]) -> list[str]:
  # A default given to the flag itself would be parsed with the overrides that
  # are meant for another file.
  if not any(re.match(r"--?config($|=)", arg) for arg in argv):
    argv = [argv[0], f"--config={default_config}", *argv[1:]]
  try:
    rest = app.parse_flags_with_usage(argv)
    list(flags.FLAGS.config)  # raises if the file could not be read
  except AttributeError as error:
    given = [arg for arg in argv if arg.startswith("--config.")]
    hint = ast.literal_eval(str(error)).replace("\n", ". ")  # a quoted KeyError
    sys.exit(f"error: {', '.join(given)}: the config has no field {hint}")
  except OSError:
    given = [arg for arg in argv if arg.startswith("--config")]
    sys.exit(f"error: there is no config file as in {', '.join(given)}.")
  except ValueError as error:  # of the config file itself
    sys.exit(f"error: {error}")
  return rest


def set_up(argv: list[str]) -> None:
  """Ends the program on arguments that are no flags, else sets up libraries."""
  processes.keep_memory()
  jax.config.update(
    "jax_compilation_cache_dir", COMPILATION_CACHE.value or None
  )
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
  if not flags.FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # libraries log each file they write
  sys.unraisablehook = _report_unraisable
  if len(argv) > 1:
    sys.exit(f"error: unexpected argument {argv[1]!r}; fields need --config.")


def _report_unraisable(what) -> None:
  # After a first failure TensorStore tells the others to a closed event loop.
  if str(what.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(what)


def build(argv: list[str], config: ConfigDict) -> experiment.Experiment:
  """The experiment of a config.

  Args:
    argv: what `app.run` passes; anything left over in it ends the program.
    config: what the flags resolved to.

  Raises:
    ValueError: bad input, in a sentence.
  """
  set_up(argv)
  return experiment.build(
    config, data_dir=DATA_DIR.value, manual_dir=MANUAL_DIR.value
  )
