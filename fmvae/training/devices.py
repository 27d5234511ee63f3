"""The devices of a run: where its state lies and how a step gets there.

This is the one place that knows of `jax.pmap`. Everything else sees a state on
one device and a batch on the host.
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
from fmvae.model import Model, Phase, TrainState, pack
from fmvae.training import processes

AXIS = "devices"
_STEPS_PER_CALL = 50  # at most, on a GPU or TPU

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


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
  """Takes steps on all devices of a run."""

  def __init__(self, devices: Sequence[jax.Device], step: Step, model: Model):
    """Remembers them; compiles nothing yet.

    Args:
      devices: of all processes.
      step: (model, phase, state, batch, axis_name) -> (state, info).
      model: what the step trains.
    """
    here = jax.process_index()
    self._devices = tuple(devices)
    self._here = [i for i, d in enumerate(devices) if d.process_index == here]
    self._step = step
    self._model = model
    self._compiled = functools.cache(self._compile)

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

  def take_step(self, phase: Phase, replicated: Any, batch: Any) -> Any:
    """One step, which takes over the state: the new one, and its info."""
    return self._compiled(phase, several=False)(replicated, batch)

  def take_steps(
    self, phase: Phase, replicated: Any, batches: Sequence[Any]
  ) -> Any:
    """As many steps as there are batches, in one call."""
    stacked = jax.tree.map(lambda *x: np.stack(x, 1), *batches)
    return self._compiled(phase, several=True)(replicated, stacked)

  def _compile(self, phase: Phase, several: bool) -> Callable[..., Any]:
    step = functools.partial(self._step, self._model, phase, axis_name=AXIS)
    function = functools.partial(jax.lax.scan, step) if several else step
    return jax.pmap(function, AXIS, devices=self._devices, donate_argnums=0)

  def replicate(self, state: TrainState) -> Any:
    """A copy on each device of this process, along a new axis."""
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


def first(replicated: Any) -> Any:
  """The copy of this process's first device, on that device alone."""
  if len(jax.tree.leaves(replicated)[0].sharding.device_set) > 1:
    replicated = jax.tree.map(
      lambda x: x.addressable_shards[0].data, replicated
    )
  return _drop_axis(replicated)


@jax.jit
def _drop_axis(tree: Any) -> Any:
  return jax.tree.map(lambda x: x[0], tree)


def to_host(infos: Sequence[dict[str, jax.Array]]) -> list[dict[str, float]]:
  """The info of every step, of calls that took one step or more."""
  out = []
  for info in jax.device_get(list(infos)):
    firsts = {name: np.atleast_1d(values[0]) for name, values in info.items()}
    num = len(next(iter(firsts.values())))
    out += [{k: float(v[i]) for k, v in firsts.items()} for i in range(num)]
  return out
