import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import fmvae.prior as prior

from . import oracle
from .helpers import (
  HYPER,
  close,
  kl_global,
  make_state,
  problem,
  to_oracle,
)

pytestmark = pytest.mark.usefixtures("x64")


@jax.jit
@jax.grad
def kl_gradient(state):
  return jnp.sum(prior.kl_global(state))


def without_dirichlet(p, hyper):
  return p._replace(c=np.full_like(p.c, hyper.c0))


def test_natural_parameters():
  factors = problem()[0]
  state = make_state(factors, HYPER)
  for actual, p in zip(state.factors, factors, strict=True):
    record = actual.natural
    lambdas = [getattr(record, f"lambda{j}") for j in (1, 2, 3, 4)]
    close(lambdas, list(oracle.natural(*p[:4])), 1e-14)
    close(actual.counts, p.c, 0)


def test_natural_parameters_determine_the_mean_parameters():
  factors = problem()[0]
  for actual, p in zip(
    make_state(factors, HYPER).factors, factors, strict=True
  ):
    record = actual.natural
    lambdas = [getattr(record, f"lambda{j}") for j in (1, 2, 3, 4)]
    close(oracle.from_natural(lambdas), p[:4], 1e-11)


def test_mean_parameters_round_trip():
  factors = problem()[0]
  state = make_state(factors, HYPER)
  close(to_oracle(state), factors, 0)
  again = prior.from_mean_params(prior.mean_params(state), state.hyperprior)
  assert jax.tree.structure(again) == jax.tree.structure(state)
  close(again, state, 0)


@pytest.mark.parametrize("hyper", [oracle.Hyper(), HYPER])
def test_kl_against_bregman_divergence(hyper):
  factors = [without_dirichlet(p, hyper) for p in problem()[0]]
  expected = [oracle.kl_normal_gamma(p, hyper) for p in factors]
  close(kl_global(make_state(factors, hyper)), np.array(expected))


@pytest.mark.parametrize("field", ["m", "s", "a", "b"])
def test_kl_depends_on_each_parameter_as_the_oracle(field):
  """One parameter off the hyperprior at a time, in one dimension."""
  p = oracle.prior_params(HYPER, 2, 2)
  value = getattr(p, field).copy()
  value[1, 0] *= 1.9
  p = p._replace(**{field: value})
  expected = oracle.kl_global([p], HYPER)
  assert expected[0] > 1e-3
  close(kl_global(make_state([p], HYPER)), expected)


@pytest.mark.parametrize("hyper", [oracle.Hyper(), HYPER])
def test_kl_and_its_gradient_vanish_at_the_hyperprior(hyper):
  state = make_state([oracle.prior_params(hyper, 3, 4)], hyper)
  close(kl_global(state), np.zeros(1), 1e-12)
  gradient = kl_gradient(state)
  close(gradient, jax.tree.map(np.zeros_like, state), 1e-9)


def test_kl_against_monte_carlo():
  hyper, num = HYPER, 200_000
  p = oracle.random_params(np.random.default_rng(3), 2, 1)
  p = without_dirichlet(p, hyper)
  m, s, a, b = (x[0] for x in p[:4])
  rng = np.random.default_rng(4)
  alpha = rng.gamma(a, 1 / b, (num, 2))
  mu = m + rng.normal(size=(num, 2)) / np.sqrt(s * alpha)

  def log_density(m, s, a, b):
    normal = stats.norm.logpdf(mu, m, (s * alpha) ** -0.5)
    return normal + stats.gamma.logpdf(alpha, a, scale=1 / b)

  draws = log_density(m, s, a, b) - log_density(*hyper[:4])
  draws = draws.sum(axis=-1)
  error = draws.std() / np.sqrt(num)
  actual = kl_global(make_state([p], hyper))[0]
  assert error < 0.02 * actual
  assert abs(actual - draws.mean()) < 4 * error


def test_kl_is_per_factor():
  factors = problem()[0]
  together = kl_global(make_state(factors, HYPER))
  apart = [kl_global(make_state([p], HYPER))[0] for p in factors]
  close(together, np.array(apart), 1e-13)
