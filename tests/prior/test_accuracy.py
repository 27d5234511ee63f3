"""Float32 against the float64 oracle where single precision is hard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from fmvae.prior import dirichlet

from . import oracle
from .helpers import kl_global, log_prob, make_state, responsibilities

HEAVY = (3e4, 5e3, 300.0, 20.0)


def heavy(a, dim=64, num_components=5, offset=0.0):
  """Components of 2a points each with variances around 0.1."""
  rng = np.random.default_rng(0)
  shape = (num_components, dim)
  a = a * rng.uniform(0.9, 1.1, shape)
  p = oracle.Params(
    m=offset + rng.normal(size=shape),
    s=2 * a,
    a=a,
    b=a * 0.1 * rng.uniform(0.8, 1.2, shape),
    c=2 * a[:, 0],
  )
  return oracle.Params(*(x.astype(np.float32).astype(np.float64) for x in p))


@pytest.mark.parametrize("a", HEAVY)
@pytest.mark.parametrize("dim", [1, 64])
def test_kl_global(a, dim):
  p, hyper = heavy(a, dim), oracle.Hyper()
  actual = kl_global(make_state([p], dtype=jnp.float32))
  assert actual.dtype == jnp.float32
  np.testing.assert_allclose(actual, oracle.kl_global([p], hyper), rtol=1e-5)


def test_kl_global_of_nearly_pruned_components():
  """Small divergences, where a and c have hardly left the hyperprior."""
  rng = np.random.default_rng(0)
  p = oracle.prior_params(oracle.Hyper(), 64, 5)
  p = oracle.Params(*(x * rng.uniform(1.0, 1.5, x.shape) for x in p))
  p = oracle.Params(*(x.astype(np.float32).astype(np.float64) for x in p))
  actual = kl_global(make_state([p], dtype=jnp.float32))
  expected = oracle.kl_global([p], oracle.Hyper())
  np.testing.assert_allclose(actual, expected, rtol=1e-4)


kl_dirichlet = jax.jit(jax.value_and_grad(dirichlet.kl_to_symmetric))


@pytest.mark.parametrize("num", [1, 2, 512])
@pytest.mark.parametrize("c0", [1e-2, 1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("kind", ["uneven", "even", "nearly pruned"])
def test_kl_of_a_dirichlet_and_its_gradient(kind, c0, num):
  """Of 60,000 points under any c0, and of half a point a component."""
  rng = np.random.default_rng(0)
  points = {
    "uneven": 60_000 * rng.dirichlet(np.full(num, 0.5)),
    "even": np.full(num, 60_000 / num),
    "nearly pruned": min(c0, 1.0) * rng.uniform(0, 0.5, num),
  }[kind]
  c = (c0 + points).astype(np.float32)
  value, gradient = kl_dirichlet(jnp.asarray(c), c0)
  assert value.dtype == gradient.dtype == jnp.float32
  c = c.astype(np.float64)
  expected = oracle.kl_dirichlet_by_path(c, c0)
  np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-5)
  slope = oracle.kl_dirichlet_slope(c, c0)
  # One component has no slope; two terms of this size cancel.
  scale = slope if num > 1 else (c - c0) * special.polygamma(1, c)
  tolerance = 1e-5 * np.max(np.abs(scale))
  np.testing.assert_allclose(gradient, slope, rtol=0, atol=tolerance)


@pytest.mark.parametrize("a", [*HEAVY, 0.51])
@pytest.mark.parametrize("distance", [0.0, 0.3, 3.0, 30.0])
def test_log_prob(a, distance):
  p = heavy(a)
  rng = np.random.default_rng(1)
  z = p.m + distance * rng.normal(size=p.m.shape)
  z = z.astype(np.float32)
  actual = log_prob(make_state([p], dtype=jnp.float32), jnp.asarray(z))
  expected = oracle.log_prob([p], z)
  # Far out the value itself is thousands of nats.
  np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-2)


def test_log_prob_of_abandoned_component():
  p = oracle.prior_params(oracle.Hyper(), 64, 2)
  z = np.array([[0.0], [0.1], [1.0], [1e3]], np.float32) * np.ones(64)
  actual = log_prob(
    make_state([p], dtype=jnp.float32), jnp.asarray(z, jnp.float32)
  )
  np.testing.assert_allclose(actual, oracle.log_prob([p], z), atol=1e-2)


@pytest.mark.parametrize(
  ("offset", "mixed"), [(1000, False), (100, False), (100, True)]
)
def test_responsibilities_far_from_the_origin(offset, mixed):
  """Overlapping clusters many standard deviations away.

  The squared distance of about 1 must not be the difference of two squares
  of about 10^6, of which float32 keeps a sixteenth. With clusters on both
  sides of the mixture's mean the squares are of their distance from it; at
  1,000 standard deviations the matrix products lose what they must hold, as
  the module says, so 100 is the distance that is asked for there.
  """
  rng = np.random.default_rng(0)
  shape = (6, 8)
  signs = np.tile(rng.choice([-1, 1], (3, 8)), (2, 1)) if mixed else 1.0
  a = np.full(shape, 500.0)
  jitter = 0.5 * rng.normal(size=shape)
  m = offset * signs + jitter
  p = oracle.Params(m, 2 * a, a, 1 * a, 2 * a[:, 0])
  p = oracle.Params(*(x.astype(np.float32).astype(np.float64) for x in p))
  loc = (np.tile(m, (5, 1)) + rng.normal(size=(30, 8))).astype(np.float32)
  log_var = np.full_like(loc, -4.0)
  expected = oracle.responsibilities([p], loc, log_var)[0]
  assert np.median(expected.max(axis=-1)) < 0.95
  actual = responsibilities(
    make_state([p], dtype=jnp.float32), jnp.asarray(loc), jnp.asarray(log_var)
  )[0]
  error = jax.device_get(jnp.max(jnp.abs(actual - expected)))
  assert error < 0.01
