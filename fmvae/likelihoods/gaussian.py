"""Pixels with a Gaussian each."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from fmvae.likelihoods.record import check_shapes

_MIN_STD = 0.001
_MAX_STD = 0.4


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """Independent Gaussian pixels (App. E.2).

  The first C channels of `raw` are the means, the last C give the standard
  deviations by a sigmoid scaled into [0.001, 0.4].
  """

  binary: ClassVar = False
  range: ClassVar = (-1.0, 1.0)  # of x
  counts: ClassVar = False

  def channels(self, image_channels: int) -> int:
    """Returns the channels of `raw` for an image of C channels: 2 C."""
    return 2 * image_channels

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """Returns log p(x|z) `[...]`, a density, in nats per image.

    Raises:
      ValueError: if the last three axes of `raw` do not fit those of `x`.
    """
    check_shapes(raw, x, self.channels(x.shape[-1]))
    std = self.std(raw)
    error = (x - self.mean(raw)) / std
    log_density = -0.5 * (error**2 + jnp.log(2 * jnp.pi)) - jnp.log(std)
    return jnp.sum(log_density, axis=(-3, -2, -1))

  def mean(self, raw: jax.Array) -> jax.Array:
    """Returns E[x|z] `[..., H, W, C]`, not clipped to the range of x."""
    return raw[..., : raw.shape[-1] // 2]

  def std(self, raw: jax.Array) -> jax.Array:
    """Returns the standard deviation of x given z, `[..., H, W, C]`."""
    scale = jax.nn.sigmoid(raw[..., raw.shape[-1] // 2 :])
    return _MIN_STD + (_MAX_STD - _MIN_STD) * scale

  def sample(self, key: jax.Array, raw: jax.Array) -> jax.Array:
    """Draws x given z, `[..., H, W, C]`, not clipped to the range of x."""
    mean = self.mean(raw)
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    return mean + self.std(raw) * noise
