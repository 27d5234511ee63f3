"""The oracle against facts that it does not use itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln
from scipy import integrate, stats

from . import oracle


@pytest.fixture
def params():
  return oracle.random_params(np.random.default_rng(0), 3, 4)


def test_natural_parameters_round_trip(params):
  back = oracle.from_natural(oracle.natural(*params[:4]))
  for x, y in zip(back, params[:4], strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-11)


def test_density_is_exponential_family(params):
  """lambda . t - A is log N(mu; m, 1/(s alpha)) + log Gamma(alpha; a, b)."""
  m, s, a, b = (x[0, 0] for x in params[:4])
  mu, alpha = 0.3, 1.7
  statistics = np.array([np.log(alpha), alpha, alpha * mu, alpha * mu**2])
  expected = stats.norm.logpdf(mu, m, (s * alpha) ** -0.5)
  expected += stats.gamma.logpdf(alpha, a, scale=1 / b)
  actual = statistics @ oracle.natural(m, s, a, b)
  actual -= oracle.log_normaliser(m, s, a, b)
  np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_gradient_of_log_normaliser_is_expected_statistics(params):
  def log_normaliser(lambdas):
    s = -2 * lambdas[3]
    a, b = lambdas[0] + 0.5, -lambdas[1] - lambdas[2] ** 2 / (2 * s)
    return jnp.sum(gammaln(a) - a * jnp.log(b) - 0.5 * jnp.log(s))

  actual = jax.grad(log_normaliser)(jnp.asarray(oracle.natural(*params[:4])))
  expected = oracle.expected_statistics(params)
  np.testing.assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_gradient_of_dirichlet_log_normaliser_is_expected_log(params):
  actual = jax.grad(lambda c: jnp.sum(gammaln(c)) - gammaln(jnp.sum(c)))(
    jnp.asarray(params.c)
  )
  expected = oracle.expected_log_share(params)
  np.testing.assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.parametrize("c0", [0.2, 1.6, 30.0])
def test_two_routes_to_the_divergence_of_a_dirichlet(params, c0):
  by_path = oracle.kl_dirichlet_by_path(params.c, c0)
  hyper = oracle.Hyper(c0=c0)
  expected = oracle.kl_dirichlet(params, hyper)
  np.testing.assert_allclose(by_path, expected, rtol=1e-10)


def test_divergences_vanish_at_the_hyperprior():
  hyper = oracle.Hyper(m0=0.7, s0=0.4, a0=1.3, b0=0.8, c0=1.6)
  p = oracle.prior_params(hyper, 3, 4)
  assert abs(oracle.kl_global([p], hyper)[0]) < 1e-12


def test_student_t_is_the_marginal_of_normal_and_normal_gamma(params):
  """Integrates N(z; m, (1 + 1/s) / alpha) over alpha."""
  p = oracle.Params(*(x[:1, :1] for x in params[:4]), params.c[:1])
  z = p.m[0] + 0.8
  m, s, a, b = (x.item() for x in p[:4])

  def integrand(alpha):
    scale = np.sqrt((1 + 1 / s) / alpha)
    normal = stats.norm.pdf(z.item(), m, scale)
    return normal * stats.gamma.pdf(alpha, a, scale=1 / b)

  density, _ = integrate.quad(integrand, 0, np.inf)
  np.testing.assert_allclose(
    oracle.log_prob([p], z), np.log(density), rtol=1e-7
  )
