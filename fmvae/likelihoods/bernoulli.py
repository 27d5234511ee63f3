"""Binary pixels."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from fmvae.likelihoods.record import check_shapes


@dataclasses.dataclass(frozen=True)
class Bernoulli:
  """Independent binary pixels; `raw` holds their logits (Sec. 4.1)."""

  binary: ClassVar = True
  range: ClassVar = (0.0, 1.0)  # of x, and of its mean
  counts: ClassVar = False

  def channels(self, image_channels: int) -> int:
    """Returns the channels of `raw` for an image of C channels: C."""
    return image_channels

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """Returns log p(x|z) `[...]` in nats per image, for `x` of 0 and 1.

    Raises:
      ValueError: if the last three axes of `raw` do not fit those of `x`.
    """
    check_shapes(raw, x, self.channels(x.shape[-1]))
    log_p = jax.nn.log_sigmoid(raw)
    log_1p = jax.nn.log_sigmoid(-raw)
    return jnp.sum(x * log_p + (1 - x) * log_1p, axis=(-3, -2, -1))

  def mean(self, raw: jax.Array) -> jax.Array:
    """Returns E[x|z] `[..., H, W, C]`, in [0, 1]."""
    return jax.nn.sigmoid(raw)

  def std(self, raw: jax.Array) -> jax.Array:
    """Returns the standard deviation of x given z, `[..., H, W, C]`."""
    return jnp.sqrt(jax.nn.sigmoid(raw) * jax.nn.sigmoid(-raw))

  def sample(self, key: jax.Array, raw: jax.Array) -> jax.Array:
    """Draws x given z, `[..., H, W, C]`, 0 or 1 in the dtype of `raw`."""
    return jax.random.bernoulli(key, self.mean(raw)).astype(raw.dtype)
