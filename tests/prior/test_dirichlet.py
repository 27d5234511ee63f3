import jax
import numpy as np
import pytest
from scipy import stats

from fmvae.prior import dirichlet

from . import oracle
from .helpers import (
  HYPER,
  close,
  component_logits,
  kl_global,
  kl_r,
  make_state,
)

kl_to_symmetric = jax.jit(dirichlet.kl_to_symmetric, static_argnums=1)

pytestmark = pytest.mark.usefixtures("x64")


def with_counts(counts, hyper, dim=2):
  p = oracle.prior_params(hyper, dim, len(counts))
  return p._replace(c=np.asarray(counts))


@pytest.mark.parametrize("c0", [1.0, 1.6, 0.2])
def test_kl_against_bregman_divergence(c0):
  hyper = HYPER._replace(c0=c0)
  p = with_counts([0.3, 1.0, 7.5, 300.0], hyper)
  expected = np.array([oracle.kl_dirichlet(p, hyper)])
  close(kl_global(make_state([p], hyper)), expected)


@pytest.mark.parametrize("c0", [0.2, 1.0, 1e2, 1e6])
@pytest.mark.parametrize("num", [1, 2, 40])
def test_kl_against_an_integral(num, c0):
  points = 60_000 * np.random.default_rng(0).dirichlet(np.full(num, 0.5))
  p = with_counts(c0 + points, HYPER._replace(c0=c0))
  expected = oracle.kl_dirichlet_by_path(p.c, c0)
  close(kl_to_symmetric(p.c, c0), expected, 1e-11)


def test_kl_against_monte_carlo():
  p = with_counts([0.8, 2.0, 7.5], HYPER)
  draws = np.random.default_rng(0).dirichlet(p.c, 100_000)
  ratio = stats.dirichlet.logpdf(draws.T, p.c)
  ratio -= stats.dirichlet.logpdf(draws.T, np.full(3, HYPER.c0))
  error = ratio.std() / np.sqrt(len(draws))
  actual = kl_global(make_state([p], HYPER))[0]
  assert error < 0.02 * actual
  assert abs(actual - ratio.mean()) < 4 * error


def test_expected_log_share_alone_separates_equal_components():
  p = with_counts([0.8, 2.0, 7.5], HYPER)
  logits = component_logits(
    make_state([p], HYPER), np.array([0.3, -1.0]), np.array([0.1, 0.2])
  )[0]
  share = oracle.expected_log_share(p)
  close(logits - logits[0], share - share[0], 1e-12)


def test_kl_r_against_monte_carlo():
  """E over pi of KL(gamma || pi)."""
  p = with_counts([0.8, 2.0, 7.5], HYPER)
  resp = np.array([0.5, 0.3, 0.2])
  draws = np.random.default_rng(0).dirichlet(p.c, 100_000)
  divergence = np.sum(resp * (np.log(resp) - np.log(draws)), axis=-1)
  error = divergence.std() / np.sqrt(len(draws))
  actual = kl_r(make_state([p], HYPER), (resp,))[0]
  assert error < 0.02 * actual
  assert abs(actual - divergence.mean()) < 4 * error
