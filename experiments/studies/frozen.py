"""The prior alone on frozen encodings: what several studies share."""

import dataclasses
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fmvae import prior
from fmvae.experiment import Experiment
from fmvae.model.phases import Schedule
from fmvae.trained import load
from fmvae.training import records
from launch import common

_BATCH_SIZE = 64
_POINTS = 10_000  # at most, at which a mixture begins
INITS = ("N(0, 1)", "0.1 N(0, 1)", "random points", "k-means")

Encodings = tuple[Array, Array]  # loc and log_var, [N, L] each


def encodings(
  argv: list[str], workdir: pathlib.Path
) -> tuple[Experiment, Encodings, Encodings]:
  """The experiment of a pre-trained run, its training and test encodings."""
  exp = common.build(argv, records.read_config(workdir))
  run = load(workdir)
  records.check_same_data(workdir, run.design.spec, exp.spec)
  key = jax.random.key(0)
  train = run.model.encode(run.state, exp.train.images, key, training=True)
  test = run.model.encode(run.state, exp.test.images, key, training=False)
  return exp, train, test


def init(
  name: str, key: Array, k: int, loc: Array, log_var: Array, num_data: int
) -> prior.PriorState:
  """A mixture of one factor; all but the means are those of `prior.init`.

  Args:
    name: one of `INITS`, where the means are.
    key: a PRNG key.
    k: components.
    loc: means of encodings, of which 10,000 are used at most, `[n, L]`.
    log_var: their log variances.
    num_data: N, the size of the training set.
  """
  points_key, init_key = jax.random.split(key)
  num = min(_POINTS, len(loc))
  chosen = jax.random.choice(points_key, len(loc), (num,), replace=False)
  loc, log_var = loc[chosen], log_var[chosen]
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


def updates(
  state: prior.PriorState,
  loc: Array,
  log_var: Array,
  *,
  schedule: Schedule,
  num: int,
  seed: int,
) -> Iterator[prior.PriorState]:
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
def costs(
  state: prior.PriorState, loc: Array, log_var: Array
) -> tuple[Array, Array, Array]:
  """Mean KL[z], KL[r] and responsibilities of one factor."""
  resp = prior.responsibilities(state, loc, log_var)
  kl_z = prior.kl_z(state, loc, log_var, resp)
  return kl_z.mean(), prior.kl_r(state, resp).mean(), resp[0].mean(0)
