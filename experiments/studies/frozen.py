"""The prior alone on frozen encodings: what several studies share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fmvae import prior
from launch import trained

_BATCH_SIZE = 64


def encodings(argv, workdir):
  """The experiment of a pre-trained run, its training and test encodings."""
  exp, state = trained.restore(argv, workdir)
  key = jax.random.key(0)
  train = exp.encode(state, exp.train.images, exp.train_input, key)
  test = exp.encode(state, exp.test.images, exp.test_input, key)
  return exp, train, test


def start(name, key, k, loc, log_var):
  """A start of one factor; all but the means are those of `prior.init`."""
  points_key, init_key = jax.random.split(key)
  chosen = jax.random.choice(points_key, len(loc), (10_000,), replace=False)
  loc, log_var, num_data = loc[chosen], log_var[chosen], len(loc)
  state = prior.init(
    init_key,
    [(loc.shape[1], k)],
    loc=loc,
    log_var=log_var,
    num_data=num_data,
  )
  means = {
    "k-means": lambda shape: state.factors[0].m,
    "random points": lambda shape: loc[:k],
    "0.1 N(0, 1)": lambda shape: 0.1 * jax.random.normal(init_key, shape),
    "N(0, 1)": lambda shape: jax.random.normal(init_key, shape),
  }[name]((k, loc.shape[1]))
  return prior.from_mean_params(
    [dataclasses.replace(state.factors[0], m=means)]
  )


def updates(state, loc, log_var, *, schedule, num, seed):
  """Yields the prior after each of `num` updates with random batches."""
  rhos = np.asarray(schedule(jnp.arange(num)))
  batches = np.random.default_rng(seed).integers(
    len(loc), size=(num, _BATCH_SIZE)
  )
  for batch, rho in zip(batches, rhos, strict=True):
    state = _update(state, loc[batch], log_var[batch], len(loc), rho)
    yield state


@jax.jit
def _update(state, loc, log_var, num_data, rho):
  return prior.svi_update(state, loc, log_var, num_data=num_data, step_size=rho)


@jax.jit
def costs(state, loc, log_var):
  """Mean KL[z], KL[r] and responsibilities of one factor."""
  resp = prior.responsibilities(state, loc, log_var)
  kl_z = prior.kl_z(state, loc, log_var, resp)
  return kl_z.mean(), prior.kl_r(state, resp).mean(), resp[0].mean(0)
