"""What a training run carries from one step to the next."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from fmvae import prior
from fmvae.networks import VAE

Schedule = Callable[[jax.Array], jax.Array]  # by step


class Supervision(NamedTuple):
  """How labels bear on the joint phase (eq. 8)."""

  factors: tuple[int, ...] = ()  # those that labels name; others have none
  delta: Schedule = optax.constant_schedule(0.0)  # by step
  # Of the named factors in (m, log s, log a, log b, log c):
  optimizer: optax.GradientTransformation = optax.identity()


class TrainState(struct.PyTreeNode):
  """An immutable pytree; every step returns a new one."""

  step: jax.Array  # int32 [], over all phases
  params: Any  # of the encoder and the decoder
  opt_state: optax.OptState
  prior: prior.PriorState
  named_opt_state: optax.OptState  # of the factors that labels name
  prior_updates: jax.Array  # int32 [], tau of the Robbins-Monro schedule
  key: jax.Array  # the run's PRNG key; a step folds its number in


class Batch(struct.PyTreeNode):
  """What the data pipeline feeds to a step."""

  images: jax.Array  # uint8 [B, H, W, C]
  labels: jax.Array  # int32 [B, I], -1 where missing


def pack(state: TrainState) -> TrainState:
  """The state as arrays of numbers, its key included."""
  return state.replace(key=jax.random.key_data(state.key))


def unpack(packed: TrainState) -> TrainState:
  """The inverse of `pack`."""
  arrays = jax.tree.map(jnp.asarray, packed)
  return arrays.replace(key=jax.random.wrap_key_data(arrays.key))


def init(
  key: jax.Array,
  vae: VAE,
  optimizer: optax.GradientTransformation,
  factors: tuple[tuple[int, int], ...],
  hyperprior: prior.Hyperprior,
  supervision: Supervision,
) -> TrainState:
  """The state before the first step; the mixture starts anew after phase 1.

  Args:
    key: a PRNG key.
    vae: the networks.
    optimizer: of theta and phi.
    factors: (D_i, K_i) of each.
    hyperprior: parameters of p(xi).
    supervision: with the optimiser of the factors that labels name.
  """
  params_key, prior_key, run_key = jax.random.split(key, 3)
  params = vae.init(params_key)
  mixture = prior.init(prior_key, factors, hyperprior)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    prior=mixture,
    named_opt_state=supervision.optimizer.init(
      tuple(mixture.factors[i] for i in supervision.factors)
    ),
    prior_updates=jnp.zeros((), jnp.int32),
    key=run_key,
  )
