"""Several runs in one step: padding takes no part in anything."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae import prior
from fmvae.model import TrainState, together

SIZES = ((2, 3), (2, 1)), ((2, 2), (2, 4))  # of two runs, (D, K)
HYPERPRIOR = prior.Hyperprior(b0=1e-6)


def make_state(i, far, points):
  """Of run i, whose clusters lie `far` apart and its first one has no data."""
  key = jax.random.key(i)
  start = prior.init(key, SIZES[i], HYPERPRIOR, num_data=points)
  factors = [
    prior.MeanParams(far * f.m, f.s, f.a, f.b, f.c.at[0].set(1e-6))
    for f in start.factors
  ]
  return TrainState(
    step=jnp.int32(0),
    params={},
    opt_state=(),
    prior=prior.from_mean_params(factors, HYPERPRIOR),
    named_opt_state=(),
    prior_updates=jnp.int32(0),
    key=key,
  )


def step_of_prior(_, __, state, batch, axis_name=None):
  """Costs of encodings and their gradient, then eq. 13-14."""

  def costs(loc, log_var):
    gamma = prior.responsibilities(state.prior, loc, log_var)
    gamma = jax.lax.stop_gradient(gamma)
    kl_z = prior.kl_z(state.prior, loc, log_var, gamma)
    return jnp.sum(kl_z + prior.kl_r(state.prior, gamma))

  cost, grads = jax.value_and_grad(costs, (0, 1))(*batch)
  options = {"num_data": 1000, "step_size": 0.3, "axis_name": axis_name}
  new = prior.svi_update(state.prior, *batch, **options)
  return state.replace(prior=new), {"cost": cost, "grads": grads}


ALONE = jax.jit(step_of_prior, static_argnums=(0, 1))
TOGETHER = jax.jit(together.step(step_of_prior), static_argnums=(0, 1))


@pytest.mark.parametrize("points", [1e-30, 1.0, 1e9])
@pytest.mark.parametrize("far", [0.0, 1.0, 1e6])
def test_padding_takes_no_part_in_anything(far, points):
  runs = [make_state(i, far, points) for i in range(2)]
  noise = jax.random.normal(jax.random.key(5), (2, 2, 7, 4))
  batches = [(10 * far * loc, log_var) for loc, log_var in noise]
  stacked = together.stack(runs)
  assert stacked.prior.components == (3, 4)
  batch = jax.tree.map(lambda *x: jnp.stack(x), *batches)
  for _ in range(3):
    stacked, info = TOGETHER(None, None, stacked, batch)
    found = together.unstack(stacked, runs)
    for i in range(2):
      runs[i], expected = ALONE(None, None, runs[i], batches[i])
      jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5),
        (found[i].prior, jax.tree.map(lambda x: x[i], info)),  # noqa: B023
        (runs[i].prior, expected),
      )
      assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(expected))
