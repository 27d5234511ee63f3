"""What a training run carries from one step to the next."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct


class TrainState(struct.PyTreeNode):
  """An immutable pytree; every step returns a new one."""

  step: jax.Array  # int32 [], over all phases
  params: Any  # of encoder and decoder; of prior and reader where they have any
  opt_state: optax.OptState
  prior: Any  # what the prior's own update changes, such as a PriorState
  named_opt_state: optax.OptState  # of the factors that labels name
  prior_updates: jax.Array  # int32 [], tau of the Robbins-Monro schedule
  key: jax.Array  # the run's PRNG key; a step folds its number in


def pack(state: TrainState) -> TrainState:
  """The state as arrays of numbers, its key included."""
  return state.replace(key=jax.random.key_data(state.key))


def unpack(packed: TrainState) -> TrainState:
  """The inverse of `pack`."""
  arrays = jax.tree.map(jnp.asarray, packed)
  return arrays.replace(key=jax.random.wrap_key_data(arrays.key))
