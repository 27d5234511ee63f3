"""Checkpoints of a run, written in the background by Orbax."""

import dataclasses
import pathlib

import jax
import orbax.checkpoint as ocp

from fmvae import config as config_lib
from fmvae.experiment import Experiment
from fmvae.training import records
from fmvae.training.state import TrainState


class Checkpoints:
  """The checkpoints of one workdir; a context manager that waits on exit."""

  def __init__(self, workdir: pathlib.Path, keep: int = 2):
    self._manager = ocp.CheckpointManager(
      (workdir / "checkpoints").absolute(),
      options=ocp.CheckpointManagerOptions(max_to_keep=keep),
    )

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_) -> None:
    self._manager.close()

  def latest_step(self) -> int | None:
    """The step of the newest complete checkpoint, None if there is none."""
    return self._manager.latest_step()

  def save(self, state: TrainState) -> None:
    """Saves a state on one device, unless its step is already there."""
    step = int(state.step)
    if step != self.latest_step():
      self._manager.save(step, args=ocp.args.StandardSave(state))

  def restore(self, like: TrainState) -> TrainState:
    """The newest state, with the structure of `like`.

    Raises:
      ValueError: there is none, or it was saved with another config.
    """
    step = self.latest_step()
    if step is None:
      raise ValueError("there is no checkpoint in this workdir yet")
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    return self._manager.restore(step, args=ocp.args.StandardRestore(target))


def restore_pretrained(
  experiment: Experiment, workdir: pathlib.Path
) -> TrainState:
  """The state from which a run goes on that leaves phase 1 to another run.

  Args:
    experiment: of the run that goes on.
    workdir: of the run that was trained with `config.pretraining` of the
      experiment's config. What follows is the same, bit for bit, as if phase 1
      had been run here.

  Raises:
    ValueError: it holds no such run, or one that has not finished.
  """
  config = config_lib.pretraining(experiment.config)
  records.read_config(workdir)
  records.check_config(workdir, config)
  with Checkpoints(workdir) as saved:
    first = saved.restore(dataclasses.replace(experiment, config=config).init())
  if int(first.step) != config.steps.pretrain:
    raise ValueError(
      f"{workdir} is at step {first.step} of {config.steps.pretrain} of its "
      "pre-training: let it finish first"
    )
  return first.replace(prior=experiment.init().prior)
