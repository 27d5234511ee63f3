"""The run that a program looks at, as its flags say."""

import dataclasses
import pathlib

import jax
from absl import flags

from fmvae import config as config_lib
from fmvae import experiment as experiment_lib
from fmvae.experiment import Experiment
from fmvae.model import Model, TrainState, model_at
from fmvae.training import records
from fmvae.training.checkpoints import Checkpoints
from launch import common

flags.adopt_module_key_flags(common)
# What to do where the workdir does not take a file.
ADVICE = "Make room or give access there, then run the same command again."
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  "newest",
  "Which checkpoint of the run is used: 'newest', 'best' (the one with the "
  "best bound on the test set) or the number of a step.",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
  """A run as it stood after some step."""

  experiment: Experiment
  model: Model  # with the prior that is in effect
  state: TrainState  # on one device


def restore(argv: list[str], workdir: pathlib.Path) -> Trained:
  """A run by its own config, at the step that --checkpoint names.

  Raises:
    ValueError: the workdir holds no run, or no such state.
  """
  config = records.read_config(workdir)
  config_lib.named(
    f"{workdir / 'config.json'}: ", lambda: config_lib.validate(config)
  )
  experiment = common.build(argv, config)
  like = jax.eval_shape(lambda: experiment_lib.init(experiment))
  which = _CHECKPOINT.value
  with Checkpoints(workdir, config=config) as checkpoints:
    if which == "newest":
      step = None
    elif which == "best":
      step = checkpoints.best_step(like)
    elif which.isdecimal() and int(which) in checkpoints.steps():
      step = int(which)
    else:
      raise ValueError(
        "--checkpoint must be 'newest', 'best' or one of the steps "
        f"{checkpoints.steps()}, got {which}"
      )
    state = checkpoints.restore(like, step).state
  model = model_at(experiment.model, experiment.phases, int(state.step))
  return Trained(experiment, model, state)


def restore_mixture(argv: list[str], workdir: pathlib.Path) -> Trained:
  """As `restore`, of a run whose prior has components to draw.

  Raises:
    ValueError: also where it has none yet, or never will.
  """
  found = restore(argv, workdir)
  if not found.model.prior.factors:
    phases = [p for p in found.experiment.phases if p.prior.factors]
    when = f"begins after step {phases[0].start}" if phases else "never begins"
    raise ValueError(
      f"the run in {workdir} is at step {found.state.step}; its mixture {when},"
      " and there is none to draw before"
    )
  return found
