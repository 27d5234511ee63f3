"""The devices of runs: where their states lie and how a step gets there.

This is the one place that knows of `jax.pmap`, and that several runs take their
steps in one program (`fmvae.model.together`). Everything else sees the state of
a run on one device and its batch on the host.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fmvae import data
from fmvae.experiment import Experiment
from fmvae.model import Model, Phase, TrainState, pack, together
from fmvae.model.together import Step
from fmvae.training import processes

AXIS = "devices"
_STEPS_PER_CALL = 50  # at most, on a GPU or TPU


def check_memory(state: TrainState, device: jax.Device) -> None:
  """Checks that a device has room for a state and its gradients.

  XLA would not end for minutes, or the system would end the process.

  Args:
    state: shapes and types will do.
    device: where it is to lie.

  Raises:
    ValueError: it has not.
  """
  arrays = jax.tree.leaves(jax.eval_shape(pack, state))
  needed = sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays)
  params = jax.tree.leaves(state.params)
  needed += sum(math.prod(x.shape) * x.dtype.itemsize for x in params)
  limit = (device.memory_stats() or {}).get("bytes_limit")
  if limit is None:  # a CPU
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  if needed > limit:
    raise ValueError(
      "config.network, config.latent_dim and config.factors must fit into "
      f"{limit / 1e9:.1f} GB, the memory of {device}, got parameters that take "
      f"{needed / 1e9:.1f} GB in training"
    )


class Devices:
  """Takes steps on all devices of a run, or of several that step together."""

  def __init__(self, devices: Sequence[jax.Device], step: Step, model: Model):
    """Remembers them; compiles nothing yet.

    Args:
      devices: of all processes.
      step: (model, phase, state, batch, axis_name) -> (state, info).
      model: what the step trains, the same for all runs but for the prior.
    """
    here = jax.process_index()
    self._devices = tuple(devices)
    self._here = [i for i, d in enumerate(devices) if d.process_index == here]
    self._step = step
    self._model = model

  def steps_per_call(self, asked: int | None, log_every: int) -> int:
    """How many steps go off at once.

    Args:
      asked: by the user; None leaves it to this function: one on a CPU, whose
        convolutions are slow within a loop, else a divisor of `log_every`.
      log_every: steps between two rows of metrics.
    """
    if asked is not None:
      return asked
    if self._devices[0].platform == "cpu":
      return 1
    return math.gcd(log_every, _STEPS_PER_CALL)

  def take_step(
    self, phase: Phase, replicated: Any, batches: Sequence[data.Batch]
  ) -> Any:
    """One step of each run, which takes over the states.

    Args:
      phase: of the step.
      replicated: the states of the runs.
      batches: one for each run.

    Returns:
      The new states, and the infos.
    """
    take = self._compiled(phase, several=False, alone=len(batches) == 1)
    return take(replicated, _join(batches))

  def take_steps(
    self,
    phase: Phase,
    replicated: Any,
    batches: Sequence[Sequence[data.Batch]],
  ) -> Any:
    """As many steps as there are entries of `batches`, in one call."""
    take = self._compiled(phase, several=True, alone=len(batches[0]) == 1)
    return take(replicated, _stack([_join(each) for each in batches]))

  def _compiled(
    self, phase: Phase, *, several: bool, alone: bool
  ) -> Callable[..., Any]:
    return _compile(
      self._step, self._model, phase, several, alone, self._devices
    )

  def replicate(self, states: Sequence[TrainState]) -> Any:
    """Copies on each device of this process, along a new axis."""
    state = states[0] if len(states) == 1 else together.stack(states)
    mine = [self._devices[i] for i in self._here]
    mesh, num = Mesh(mine, AXIS), len(mine)
    whole = jax.device_put(
      processes.same_everywhere(state), NamedSharding(mesh, PartitionSpec())
    )
    repeat = jax.jit(
      lambda tree: jax.tree.map(
        lambda x: jnp.broadcast_to(x, (num, *x.shape)), tree
      ),
      out_shardings=NamedSharding(mesh, PartitionSpec(AXIS)),
    )
    return repeat(whole)

  def read_batch(self, experiment: Experiment, step: int) -> data.Batch:
    """This process's rows of the batch of a step, a part for each device."""
    train, config = experiment.train, experiment.config
    indices = data.batch_indices(
      config.seed, step, num_data=len(train), batch_size=config.batch_size
    )
    rows = indices.reshape(len(self._devices), -1)[self._here]
    return jax.tree.map(
      lambda x: x.reshape(rows.shape + x.shape[1:]), train.batch(rows.ravel())
    )


@functools.lru_cache(maxsize=32)  # for all runs of this process
def _compile(
  step: Step,
  model: Model,
  phase: Phase,
  several: bool,
  alone: bool,
  devices: tuple[jax.Device, ...],
) -> Callable[..., Any]:
  of_all = step if alone else together.step(step)
  of_phase = functools.partial(of_all, model, phase, axis_name=AXIS)
  function = functools.partial(jax.lax.scan, of_phase) if several else of_phase
  return jax.pmap(function, AXIS, devices=devices, donate_argnums=0)


def _join(batches: Sequence[data.Batch]) -> data.Batch:
  """Those of all runs, along an axis after that of the devices."""
  return batches[0] if len(batches) == 1 else _stack(batches)


def _stack(batches: Sequence[data.Batch]) -> data.Batch:
  return jax.tree.map(lambda *x: np.stack(x, 1), *batches)


def first(replicated: Any, like: Sequence[TrainState]) -> list[TrainState]:
  """The states on this process's first device, on that device alone.

  Args:
    replicated: as the steps gave them.
    like: the states of the runs at some earlier step.
  """
  if len(jax.tree.leaves(replicated)[0].sharding.device_set) > 1:
    replicated = jax.tree.map(
      lambda x: x.addressable_shards[0].data, replicated
    )
  state = _drop_axis(replicated)
  return [state] if len(like) == 1 else together.unstack(state, like)


@jax.jit
def _drop_axis(tree: Any) -> Any:
  return jax.tree.map(lambda x: x[0], tree)


def to_host(
  infos: Sequence[dict[str, jax.Array]], num_runs: int
) -> list[list[dict[str, float]]]:
  """For each run the info of every step, of calls that took one or more."""
  out: list[list[dict[str, float]]] = [[] for _ in range(num_runs)]
  for info in jax.device_get(list(infos)):
    of_device = {k: x[0].reshape(-1, num_runs) for k, x in info.items()}
    num = len(next(iter(of_device.values())))
    for run, steps in enumerate(out):
      steps += [
        {k: float(x[i, run]) for k, x in of_device.items()} for i in range(num)
      ]
  return out
