"""The run that a program looks at, as its flags say."""

import pathlib

import jax
from absl import flags

from fmvae import experiment
from fmvae.training import records
from fmvae.training.checkpoints import Checkpoints
from fmvae.training.state import TrainState
from launch import common

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  "newest",
  "Of the run: 'newest', 'best' (by the bound on the test set) or a step.",
)


def restore(
  argv: list[str], workdir: pathlib.Path
) -> tuple[experiment.Experiment, TrainState]:
  """The experiment of a run, by its own config, and the state of --checkpoint.

  Raises:
    ValueError: the workdir holds no run, or no such state.
  """
  built = common.build(argv, records.read_config(workdir))
  like, which = jax.eval_shape(built.init), _CHECKPOINT.value
  with Checkpoints(workdir) as checkpoints:
    if which == "newest":
      step = None
    elif which == "best":
      step = checkpoints.best_step(like)
    elif which.isdecimal() and int(which) in checkpoints.steps():
      step = int(which)
    else:
      raise ValueError(
        f"--checkpoint={which} must be 'newest', 'best' or one of the steps "
        f"{checkpoints.steps()}"
      )
    return built, checkpoints.restore(like, step).state


def restore_mixture(
  argv: list[str], workdir: pathlib.Path
) -> tuple[experiment.Experiment, TrainState]:
  """As `restore`, of a run that has started its mixture.

  Raises:
    ValueError: also where it has not.
  """
  built, state = restore(argv, workdir)
  if not built.has_mixture(state):
    raise ValueError(
      f"the run in {workdir} is at step {state.step}; its mixture starts after "
      f"step {built.phase_ends['pretrain']}, and there is none to draw before"
    )
  return built, state
