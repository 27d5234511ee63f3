"""Several runs in one program: their states and batches along a leading axis.

Runs that differ in their numbers of components are padded to the largest K of
each factor. A padded component is a copy of the first one with a Dirichlet
count of next to nothing: its log weight psi(c) = -1/c is finite and so far
below every other that its responsibility is exactly 0. So is what it adds to
the KL terms, to the sums of eq. 13 and to every gradient, and a count of 1e-36
is lost in the sum of all. `step` leaves it as it is.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fmvae.model.train_state import TrainState
from fmvae.prior import MeanParams, PriorState

_NOTHING = 1e-36  # -1/c is finite in float32; no data leave a count so small

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


def step(one: Step) -> Step:
  """The step of several runs that `one` is for a run, such as `train_step`.

  Its states are `stack`ed, its batch and its info have the same leading axis.
  """

  def steps(model, phase, states, batch, axis_name=None):
    def of_a_run(state, its_batch):
      new, info = one(model, phase, state, its_batch, axis_name)
      return new.replace(prior=_keep_padding(state.prior, new.prior)), info

    return jax.vmap(of_a_run)(states, batch)

  return steps


@jax.jit
def stack(states: Sequence[TrainState]) -> TrainState:
  """States along a new leading axis, padded to the largest K of each factor."""
  sizes = tuple(map(max, zip(*map(_components, states), strict=True)))
  padded = [s.replace(prior=_resized(s.prior, sizes)) for s in states]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)


def unstack(
  stacked: TrainState, like: Sequence[TrainState]
) -> list[TrainState]:
  """The states of the runs again, with as many components as `like` have."""
  return _unstack(tuple(map(_components, like)), stacked)


@functools.partial(jax.jit, static_argnums=0)
def _unstack(sizes: tuple[tuple[int, ...], ...], stacked: TrainState):
  def of_a_run(i: int, components: tuple[int, ...]) -> TrainState:
    state = jax.tree.map(lambda x: x[i], stacked)
    return state.replace(prior=_resized(state.prior, components))

  return [of_a_run(i, components) for i, components in enumerate(sizes)]


def _components(state: TrainState) -> tuple[int, ...]:
  """K_i of every factor, () of a prior without a state."""
  return () if state.prior is None else state.prior.components


def _resized(prior: Any, sizes: tuple[int, ...]) -> PriorState | None:
  """A prior with so many components, by padding or by leaving the last out."""

  def resize(f: MeanParams, size: int) -> MeanParams:
    index = np.arange(size)
    is_there = index < len(f.c)
    out = jax.tree.map(lambda x: x[np.where(is_there, index, 0)], f)
    return dataclasses.replace(out, c=jnp.where(is_there, out.c, _NOTHING))

  if prior is None:
    return None
  factors = tuple(map(resize, prior.factors, sizes))
  return dataclasses.replace(prior, factors=factors)


def _keep_padding(old: Any, new: Any) -> PriorState | None:
  """`new` with the padding of `old`, whose counts a step would raise."""
  if old is None:
    return None

  def keep(before: MeanParams, after: MeanParams) -> MeanParams:
    is_padding = before.c <= _NOTHING

    def choose(x: Array, y: Array) -> Array:
      rows = jnp.expand_dims(is_padding, range(1, x.ndim))
      return jnp.where(rows, x, y)

    return jax.tree.map(choose, before, after)

  return dataclasses.replace(
    new, factors=tuple(map(keep, old.factors, new.factors))
  )
