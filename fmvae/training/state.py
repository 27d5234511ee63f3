"""What a training run carries from one step to the next."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from fmvae import prior
from fmvae.networks import VAE


class TrainState(struct.PyTreeNode):
  """An immutable pytree; every step returns a new one."""

  step: jax.Array  # int32 [], over all phases
  params: Any  # of the encoder and the decoder
  opt_state: optax.OptState
  prior: prior.PriorState
  prior_updates: jax.Array  # int32 [], tau of the Robbins-Monro schedule
  key: jax.Array  # the run's PRNG key; a step folds its number in


class Batch(struct.PyTreeNode):
  """What the data pipeline feeds to a step."""

  images: jax.Array  # uint8 [B, H, W, C]
  labels: jax.Array  # int32 [B, I], -1 where missing


def init(
  key: jax.Array,
  vae: VAE,
  optimizer: optax.GradientTransformation,
  factors: tuple[tuple[int, int], ...],
  hyperprior: prior.Hyperprior,
) -> TrainState:
  """The state before the first step; the mixture starts anew after phase 1."""
  params_key, prior_key, run_key = jax.random.split(key, 3)
  params = vae.init(params_key)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    prior=prior.init(prior_key, factors, hyperprior),
    prior_updates=jnp.zeros((), jnp.int32),
    key=run_key,
  )
