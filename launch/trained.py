"""The run that a program looks at, as its flags say."""

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from fmvae.training import host
from launch import common

if TYPE_CHECKING:
  from fmvae.experiment import Experiment
  from fmvae.trained import Trained

flags.adopt_module_key_flags(common)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder of a run that launch.train has made."
)
# What to do where the workdir does not take a file.
ADVICE = "Make room or give access there, then run the same command again."
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  "newest",
  "Which checkpoint of the run is used: 'newest', 'best' (the one with the "
  "best bound on the validation images, or on the test set where config."
  "dataset.validation is 0) or the number of a step. What a run with "
  "config.patience reports is its best one.",
)


def workdir() -> pathlib.Path:
  """The folder of the run.

  Raises:
    ValueError: --workdir is not given.
  """
  return pathlib.Path(common.needed(_WORKDIR))


def restore(argv: list[str], *, released: bool = False) -> "Trained":
  """The model of the run, at the step that --checkpoint names.

  Args:
    argv: what `app.run` passes.
    released: whether --workdir may name a model that comes along; not where
      the program writes into the folder.

  Raises:
    ValueError: --workdir names no run, or one without such a state.
  """
  from fmvae.trained import load

  common.set_up(argv)
  folder = workdir()
  run = load(str(folder) if released else folder, _CHECKPOINT.value)
  host.end_if_told()
  return run


def restore_mixture(argv: list[str], *, released: bool = False) -> "Trained":
  """As `restore`, of a run whose prior has components to draw.

  Raises:
    ValueError: also where it has none yet, or never will.
  """
  from fmvae import config as config_lib

  run = restore(argv, released=released)
  config_lib.named(f"{workdir()}: ", run.require_factors)
  return run


def page_to_write(asked: str | None, default: pathlib.Path) -> pathlib.Path:
  """The .html file that --out asks for, or the default.

  Raises:
    ValueError: it is another file, or in a folder that is not there.
  """
  out = default if asked is None else pathlib.Path(asked)
  if out.suffix != ".html":
    raise ValueError(f"--out must end in .html, got {out}")
  if asked is not None and not out.parent.is_dir():
    raise ValueError(f"--out is in the folder {out.parent}, which is not there")
  return out


def experiment_of(run: "Trained") -> "Experiment":
  """The run with its data, which are read as for training.

  Raises:
    ValueError: they are not there, or others than those that it trained on.
  """
  from fmvae import experiment as experiment_lib
  from fmvae.training import records

  experiment = experiment_lib.build(
    run.config,
    data_dir=common.DATA_DIR.value,
    manual_dir=common.MANUAL_DIR.value,
  )
  records.check_same_data(workdir(), run.design.spec, experiment.spec)
  host.end_if_told()
  return experiment
