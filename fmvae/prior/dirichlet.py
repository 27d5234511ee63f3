"""The Dirichlet distribution of the mixing weights of one factor.

Its divergence from the hyperprior (line 4e; the paper takes the standard form
as known) is a sum of Bregman divergences of lgamma, less that of the totals
C = sum c and C0 = K c0,

  KL = sum_k d(c0, c_k) - d(C0, C)
  d(y, x) = lgamma(y) - lgamma(x) - (y - x) psi(x),

whose terms of size c log c cancel. With Stirling's

  lgamma(x) = x log x - x - log(x) / 2 + log(2 pi) / 2 + R(x)  (`stirling`)

they do so symbolically: x log x - x leaves one sum of positive terms, and

  KL = c0 sum_k h(c_k, C / K) + sum_k e(c0, c_k) - e(C0, C)
  e(y, x) = h(y, x) / 2 + R(y) - R(x) - (y - x) R'(x)
  h(y, x) = y / x - 1 - log(y / x)

has the digits of its largest term for counts of any size. The differences
y - x are taken first, since they are exact where the two are close.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import digamma

from fmvae.prior import stirling

_NEAR = 0.25  # up to this |y / x - 1| the series of h serves
_TERMS = 9  # of that series, exact to 1e-16 there


def expected_log_weights(c: Array) -> Array:
  """E[log pi_k] = psi(c_k) - psi(sum c), `[..., K]` (eq. 5)."""
  return digamma(c) - digamma(jnp.sum(c, -1, keepdims=True))


def kl_to_symmetric(
  c: Array, c0: float, num: np.ndarray | None = None
) -> Array:
  """KL(Dir(c) || Dir(c0, ..)), line 4e, nats.

  Args:
    c: counts `[..., K]`.
    c0: of the hyperprior.
    num: `[...]`, how many of the K counts there are, all by default; those
      beyond them must be c0. Several factors then take one call, and one
      compilation.

  Returns:
    `[...]`.
  """
  num = np.asarray(c.shape[-1] if num is None else num)
  there = np.arange(c.shape[-1]) < num[..., None]
  total = jnp.sum(c, -1, where=there)
  about = lax.stop_gradient(total / num)[..., None]
  from_mean = c - about
  # What `about` lost to rounding:
  off = jnp.mean(from_mean, -1, keepdims=True, where=there)
  h = _log_excess(from_mean - off, c, about + off)
  difference = c0 - c
  total_0 = jnp.broadcast_to(jnp.asarray(num * c0, c.dtype), total.shape)

  def counts_and_total(of_counts: Array, of_total: Array) -> Array:
    return jnp.concatenate([of_counts, of_total[..., None]], -1)

  e = _beyond_leading(
    counts_and_total(difference, jnp.sum(difference, -1)),
    counts_and_total(jnp.full_like(c, c0), total_0),
    counts_and_total(c, total),
  )
  return jnp.sum(c0 * h + e[..., :-1], -1, where=there) - e[..., -1]


def _beyond_leading(difference: Array, y: Array, x: Array) -> Array:
  """e(y, x), from `difference` = y - x too."""
  rest_y, rest_x = stirling.rest(jnp.stack([y, x]))
  slope = difference * stirling.rest_slope(x)
  return 0.5 * _log_excess(difference, y, x) + (rest_y - rest_x - slope)


def _log_excess(difference: Array, y: Array, x: Array) -> Array:
  """h(y, x), from `difference` = y - x too.

  Near y = x by the series of log(y / x) = 2 artanh(s), s = (y - x) / (y + x),
  whose first term is taken together with y / x - 1.
  """
  t = difference / x
  near = jnp.abs(t) < _NEAR
  t_near = jnp.where(near, t, 0)
  s = jnp.where(near, difference / (y + x), 0)
  series = s * (t_near - 2 * stirling.artanh_ratio(s**2, _TERMS))
  return jnp.where(near, series, t - jnp.log(y / x))
