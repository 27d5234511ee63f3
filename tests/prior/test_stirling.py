import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from fmvae.prior import stirling

from .helpers import assert_finite

# On both sides of 1 and of 16, where one form takes over from another.
X = np.array([1e-6, 0.01, 0.7, np.nextafter(1, 0), 1.0, 1.2, 7.5])
X = np.array([*X, 15.9, np.nextafter(16, 0), 16.0, np.nextafter(16, 17), 16.1])
X = np.array([*X, 1e3, 1e6])

rest_and_slope = jax.jit(lambda x: (stirling.rest(x), stirling.rest_slope(x)))


def binet(x):
  """R(x) and R'(x) by Binet's second formula, in units of x."""

  def integral(f):
    parts = (0, 1e-3, 0.1, 3, 60)
    return sum(
      integrate.quad(
        lambda t: f(t) * t / np.expm1(2 * np.pi * t), a, b, epsabs=0
      )[0]
      for a, b in itertools.pairwise(parts)
    )

  value = integral(lambda t: 2 * np.arctan(t / x) / t)
  return value, integral(lambda t: -2 / (t**2 + x**2))


@pytest.mark.usefixtures("x64")
def test_rest_and_slope_against_an_integral():
  value, slope = np.array([binet(x) for x in X[1:]]).T
  found, found_slope = rest_and_slope(X[1:])
  np.testing.assert_allclose(found, value, rtol=1e-10)
  np.testing.assert_allclose(found_slope, slope, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_all_digits_in_single_precision():
  x = X.astype(np.float32)
  expected = rest_and_slope(x.astype(np.float64))
  found = rest_and_slope(x)
  assert found[0].dtype == np.float32
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=3e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
  ("fn", "definition", "slope"),
  [
    (
      stirling.entropy_term,
      lambda a: a * special.digamma(a) - special.gammaln(a) - a,
      lambda a: a * special.polygamma(1, a) - 1,
    ),
    (
      stirling.half_step,
      lambda a: special.gammaln(a + 0.5) - special.gammaln(a),
      lambda a: special.digamma(a + 0.5) - special.digamma(a),
    ),
  ],
)
def test_what_divergences_are_made_of(fn, definition, slope):
  values, slopes = jax.jit(jax.vmap(jax.value_and_grad(fn)))(X[:-1])
  np.testing.assert_allclose(values, definition(X[:-1]), rtol=1e-10)
  np.testing.assert_allclose(slopes, slope(X[:-1]), rtol=1e-10)
  ends = jnp.array([1e-15, 1e-6, 1e9, 1e30], jnp.float32)
  assert_finite(jax.jit(jax.vmap(jax.value_and_grad(fn)))(ends))
