"""Counts."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from fmvae.likelihoods.record import check_shapes

_MOST = 30.0  # of a logarithm, beyond which float32 loses the rest


@dataclasses.dataclass(frozen=True)
class NegativeBinomial:
  """Independent counts 0, 1, .., by mean m and dispersion r.

  The first C channels of `raw` are log m, the last C log r, both held within
  +-30. The variance is m + m^2 / r: Poisson's where r is large.
  """

  binary: ClassVar = False
  range: ClassVar = (0.0, float("inf"))  # of x
  counts: ClassVar = True

  def channels(self, image_channels: int) -> int:
    """Returns the channels of `raw` for C counts: 2 C."""
    return 2 * image_channels

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """Returns log p(x|z) `[...]` in nats, for `x` of 0, 1, ..

    Raises:
      ValueError: if the last three axes of `raw` do not fit those of `x`.
    """
    check_shapes(raw, x, self.channels(x.shape[-1]))
    log_m, log_r = _parts(raw)
    r = jnp.exp(log_r)
    # log of m / (m + r) and of r / (m + r)
    success, failure = (
      jax.nn.log_sigmoid(sign * (log_m - log_r)) for sign in (1, -1)
    )
    log_p = _log_rising(x, r) + x * success + r * failure - gammaln(x + 1)
    return jnp.sum(log_p, axis=(-3, -2, -1))

  def mean(self, raw: jax.Array) -> jax.Array:
    """Returns E[x|z] `[..., H, W, C]`."""
    return jnp.exp(_parts(raw)[0])

  def std(self, raw: jax.Array) -> jax.Array:
    """Returns the standard deviation of x given z, `[..., H, W, C]`."""
    log_m, log_r = _parts(raw)
    return jnp.exp(0.5 * jnp.logaddexp(log_m, 2 * log_m - log_r))

  def sample(self, key: jax.Array, raw: jax.Array) -> jax.Array:
    """Draws x given z, `[..., H, W, C]`: a Poisson count of a gamma rate."""
    log_m, log_r = _parts(raw)
    rate_key, count_key = jax.random.split(key)
    r = jnp.exp(log_r)
    rate = jnp.exp(log_m - log_r) * jax.random.gamma(rate_key, r)
    return jax.random.poisson(count_key, rate).astype(raw.dtype)


def _parts(raw: jax.Array) -> tuple[jax.Array, jax.Array]:
  log_m, log_r = jnp.split(jnp.clip(raw, -_MOST, _MOST), 2, axis=-1)
  return log_m, log_r


def _log_rising(x: jax.Array, r: jax.Array) -> jax.Array:
  """lgamma(r + x) - lgamma(r), which cancels where r is large.

  From r = 1,000 on by Stirling's series, whose next term is 1 / (360 r^3).
  """
  large = jnp.maximum(r, 1e3)
  y = large + x
  series = (
    x * jnp.log(y)
    + (large - 0.5) * jnp.log1p(x / large)
    - x
    + (1 / y - 1 / large) / 12
  )
  small = jnp.minimum(r, 1e3)
  return jnp.where(r > 1e3, series, gammaln(small + x) - gammaln(small))
