"""What Stirling's formula leaves of the gamma function, for x > 0.

  lgamma(x) = x log x - x - log(x) / 2 + log(2 pi) / 2 + R(x)
  psi(x)    = log x - 1 / (2 x) + R'(x)

The terms of size x log x cancel in every divergence of this package. What is
left of them are R and R', which have all their digits here: from x = 16 on by
Stirling's series, below it by that at x + 16 and Gudermann's

  R(x) = R(x + 16) + sum_(i < 16) g(x + i)
  g(x) = (x + 1/2) log(1 + 1/x) - 1
       = s^2 / 3 + s^4 / 5 + ..,  s = 1 / (2 x + 1),

a sum of positive terms. It compiles in a fraction of the time of JAX's lgamma.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from fmvae.prior.arrays import align

LOG_2PI = 1.8378770664093453
_FROM = 16  # Stirling's series below are exact to 1e-13 from here on


def rest(x: Array) -> Array:
  """R(x), of any shape."""

  def far(r):
    return r * (1 / 12 - r**2 * (1 / 360 - r**2 * (1 / 1260 - r**2 / 1680)))

  return _sum(x, far, _excess)


def rest_slope(x: Array) -> Array:
  """R'(x), of any shape."""

  def far(r):
    return -(r**2) * (1 / 12 - r**2 * (1 / 120 - r**2 * (1 / 252 - r**2 / 240)))

  return _sum(x, far, _excess_slope)


def entropy_term(a: Array) -> Array:
  """a psi(a) - lgamma(a) - a, the negative entropy of Gamma(a, 1) plus psi(a).

  For a = 30,000 the terms are of size 3e5 and their sum is 4, so that float32
  would keep two digits.
  """
  return 0.5 * (jnp.log(a) - 1 - LOG_2PI) + a * rest_slope(a) - rest(a)


def half_step(a: Array) -> Array:
  """lgamma(a + 1/2) - lgamma(a)."""
  after, before = rest(jnp.stack([a + 0.5, a]))
  return 0.5 * jnp.log(a) + a * jnp.log1p(0.5 / a) - 0.5 + (after - before)


def artanh_ratio(squared: Array, num_terms: int) -> Array:
  """artanh(s) / s - 1 of s^2, by so many terms of s^2 / 3 + s^4 / 5 + ..."""
  series = jnp.zeros_like(squared)
  for n in range(num_terms, 0, -1):
    series = squared * (1 / (2 * n + 1) + series)
  return series


def _sum(x: Array, far: Callable, step: Callable) -> Array:
  """far(1 / x) from 16 on, before it far(1 / (x + 16)) + sum_i step(x + i)."""
  is_small = x < _FROM
  small = jnp.where(is_small, x, 1)[..., None]
  steps = step(small + align(jnp.arange(_FROM, dtype=x.dtype), small))
  value = far(1 / jnp.where(is_small, x + _FROM, x))
  return value + jnp.where(is_small, jnp.sum(steps, -1), 0)


def _excess(x: Array) -> Array:
  """g(x)."""
  y = jnp.minimum(x, 1)
  exact = (y + 0.5) * (jnp.log1p(y) - jnp.log(y)) - 1
  series = artanh_ratio((2 * x + 1) ** -2, _num_terms(x))
  return jnp.where(x < 1, exact, series)


def _excess_slope(x: Array) -> Array:
  """g'(x)."""
  y = jnp.minimum(x, 1)
  exact = jnp.log1p(y) - jnp.log(y) - 0.5 * (1 / y + 1 / (y + 1))
  s = 1 / (2 * x + 1)
  series = jnp.zeros_like(x)
  for n in range(_num_terms(x), 0, -1):
    series = n / (2 * n + 1) + s**2 * series
  return jnp.where(x < 1, exact, -4 * s**3 * series)


def _num_terms(x: Array) -> int:
  """As many as this precision has powers of s^2, at most 1/9 from x = 1 on."""
  return math.ceil(-math.log(jnp.finfo(x.dtype).eps, 9))
