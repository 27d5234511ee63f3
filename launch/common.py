"""Flags and checks that the programs in this folder share.

What loads slowly, JAX above all, is imported where it is used, so that --help
and a wrong flag are answered at once.
"""

import ast
import contextlib
import functools
import itertools
import os
import pathlib
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from fmvae import fields
from fmvae.storage import refusal
from fmvae.training import host

if TYPE_CHECKING:
  from fmvae.experiment import Experiment

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
_LONGEST = 60  # characters of a folder's name
_HELP = {"--help", "-help", "-h", "-?", "--helpshort", "-helpshort"}
_FIELDS_HELP = """\
The fields of an experiment's config; a file may name other defaults. In a sweep
those of a run are --config.runs.NAME.seed and so on:
"""


def run(
  main: Callable[[list[str]], None], default_config: str | None = None
) -> None:
  """`app.run` for a program that a signal ends with one sentence.

  Args:
    main: of the program.
    default_config: what its --config is by default, where it has one. A config
      that cannot be read costs one sentence.
  """

  def parse(argv: list[str]) -> list[str]:
    if _HELP & set(argv[1:]):
      try:
        print(_help(main, default_config is not None), flush=True)
      except BrokenPipeError:  # of `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
      sys.exit()
    if default_config is None:
      return _parse(argv)
    return _parse_flags(default_config, argv)

  with host.program():
    app.run(main, flags_parser=parse)


def _help(main: Callable[[list[str]], None], of_a_config: bool) -> str:
  """What the program does, its flags, and the fields of its config."""
  module = main.__module__
  of_flags = flags.FLAGS.module_help(
    sys.argv[0] if module == "__main__" else module
  )
  _, _, of_flags = of_flags.strip().partition("\n")  # without the file's name
  text = f"{sys.modules[module].__doc__}\nFlags:\n{of_flags}\n"
  if not of_a_config:
    return text
  shown = [text, _FIELDS_HELP]
  for name, field in fields.flat():
    line = f"--config.{name}: {field.meaning}"
    shown.append(flags.text_wrap(line, indent="    ", firstline_indent="  "))
    shown.append(f"    (default: {field.default!r})")
  return "\n".join(shown)


def _parse(argv: list[str]) -> list[str]:
  """The arguments that are no flags; a wrong flag costs one sentence."""
  try:
    left: list[str] = flags.FLAGS(argv)
    return left
  except flags.Error as error:
    sys.exit(f"error: {' '.join(str(error).split())} (--help lists the flags)")


def needed(flag: flags.FlagHolder) -> Any:
  """The value of a flag that a program cannot do without.

  Raises:
    ValueError: it is not given; says what it is.
  """
  if flag.value is None:
    what, *_ = flags.FLAGS[flag.name].help.splitlines()
    raise ValueError(f"--{flag.name} is needed: {what[0].lower()}{what[1:]}")
  return flag.value


def config_is_given() -> bool:
  """Whether the command line names a config or a field of one."""
  return any(re.match(r"--?config($|[=.])", arg) for arg in sys.argv[1:])


def _parse_flags(default_config: str, argv: list[str]) -> list[str]:
  # A default given to the flag itself would be parsed with the overrides that
  # are meant for another file.
  if not any(re.match(r"--?config($|=)", arg) for arg in argv):
    argv = [argv[0], f"--config={default_config}", *argv[1:]]
  argv = _with_own_files(argv)
  overrides = [arg for arg in argv if re.match(r"--?(no)?config\.", arg)]
  try:
    for path in _config_files(flags.FLAGS.read_flags_from_files(argv)):
      _check_config_file(path)
    return _parse(argv)
  except (ValueError, flags.Error) as error:
    sys.exit(f"error: {error}")
  except (AttributeError, KeyError) as error:
    hint = str(error)
    with contextlib.suppress(ValueError, SyntaxError):
      hint = str(ast.literal_eval(hint))  # a quoted KeyError
    hint = ". ".join(hint.splitlines())
    sys.exit(f"error: {', '.join(overrides)}: the config has no field {hint}")
  except (IndexError, TypeError) as error:  # --config.factors[0]=..
    sys.exit(
      f"error: {', '.join(overrides)}: a tuple is set as a whole, such as "
      f"--config.factors='((64, 128),)' ({error})"
    )


def _config_files(argv: list[str]) -> list[str]:
  """What --config is given as, `--config FILE` or `--config=FILE`."""
  found = []
  for arg, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
    if match := re.fullmatch(r"--?config(?:=(.*))?", arg, re.DOTALL):
      found.append(following if match[1] is None else match[1])
  return found


def _with_own_files(argv: list[str]) -> list[str]:
  """A config file that the current folder lacks may be one of this package."""

  def found(given: str) -> str:
    name, colon, argument = given.partition(":")
    own = pathlib.Path(__file__).parents[1] / name
    if os.path.isfile(name) or not own.is_file():
      return given
    return f"{own}{colon}{argument}"

  out = argv.copy()
  for i, arg in enumerate(argv):
    if match := re.fullmatch(r"(--?config=)(.+)", arg, re.DOTALL):
      out[i] = match[1] + found(match[2])
    elif i > 0 and re.fullmatch(r"--?config", argv[i - 1]):
      out[i] = found(arg)
  return out


def _check_config_file(path: str) -> None:
  """Reads a config file once before the flags do, who show a traceback.

  Raises:
    ValueError: it cannot be read, or gives no config; names it.
  """
  name, colon, argument = path.partition(":")
  if not os.path.isfile(name):
    raise ValueError(f"there is no config file {name!r}, as --config={path}")
  try:
    get_config = runpy.run_path(name).get("get_config")
    config = get_config and get_config(*([argument] if colon else []))
  except (Exception, SystemExit) as error:  # of code that is not ours
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    what = " ".join(str(error).split())
    raise ValueError(f"--config={path}: {kind}{what}") from error
  if not isinstance(config, ConfigDict):
    raise ValueError(
      f"--config={path} must have a function get_config that returns a "
      f"ConfigDict, got {type(config).__name__}"
    )


def default_folder(*, shared: tuple[str, ...] = ()) -> pathlib.Path:
  """The folder of what --config describes: runs/NAME, as `folder_name` has it.

  Args:
    shared: names in the config's argument that make no folder of their own.
  """
  given = config_flags.get_config_filename(flags.FLAGS["config"])
  return pathlib.Path("runs") / folder_name(given, shared)


def folder_name(config: str, shared: tuple[str, ...] = ()) -> str:
  """NAME for a config file NAME.py, NAME_k128 for NAME.py:k=128.

  A value that is no number stands without its name, and what is not safe in a
  file's name becomes '_'.
  """
  path, _, argument = config.partition(":")
  parts = [pathlib.Path(path).stem]
  for part in argument.split(","):
    name, _, value = part.partition("=")
    if name not in shared:
      text = name + value if re.fullmatch(r"[\d.]*", value) else value
      parts.append(re.sub(r"[^\w.-]+", "_", text).strip("._-"))
  return "_".join(filter(None, parts))[:_LONGEST]


def set_up(argv: list[str]) -> None:
  """Ends the program on arguments that are no flags, else sets up libraries."""
  import jax

  jax.config.update(
    "jax_compilation_cache_dir", COMPILATION_CACHE.value or None
  )
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  if not flags.FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # libraries log each file they write
    # What Orbax logs at length it raises as well.
    logging.get_absl_logger().addFilter(lambda r: "orbax" not in r.pathname)
  sys.unraisablehook = _report_unraisable
  if len(argv) > 1:
    sys.exit(f"error: unexpected argument {argv[1]!r}; fields need --config.")


def _report_unraisable(what) -> None:
  # A disk that refused one file refuses others as they are closed. After a
  # first failure TensorStore tells the others to a closed event loop.
  told = refusal(what.exc_value) is not None
  if not told and str(what.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(what)


def build(argv: list[str], config: ConfigDict) -> "Experiment":
  """The experiment of a config.

  Args:
    argv: what `app.run` passes; anything left over in it ends the program.
    config: what the flags resolved to.

  Raises:
    ValueError: bad input, in a sentence.
  """
  return build_all(argv, [config])[0]


def build_all(
  argv: list[str], configs: Sequence[ConfigDict]
) -> list["Experiment"]:
  """`build` of several configs, which read what they share once."""
  from fmvae import data, experiment

  set_up(argv)
  load = functools.cache(data.load)
  built = [
    experiment.build(
      config,
      data_dir=DATA_DIR.value,
      manual_dir=MANUAL_DIR.value,
      load=load,
    )
    for config in configs
  ]
  host.end_if_told()
  return built
