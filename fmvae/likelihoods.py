"""Likelihoods p(x|z) of an image, given the raw outputs of a decoder.

`raw` is `[..., H, W, channels(C)]` and `x` `[..., H, W, C]`, their leading axes
broadcast. Everything is finite, gradients too, for any raw value whose result
float32 can hold.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

_MIN_STD = 0.001
_MAX_STD = 0.4


@dataclasses.dataclass(frozen=True)
class Bernoulli:
  """Independent binary pixels; `raw` holds their logits (Sec. 4.1)."""

  range: ClassVar = (0.0, 1.0)  # of x, and of its mean

  def channels(self, image_channels: int) -> int:
    """Returns the channels of `raw` for an image of C channels: C."""
    return image_channels

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """Returns log p(x|z) `[...]` in nats per image, for `x` of 0 and 1.

    Raises:
      ValueError: if the last three axes of `raw` do not fit those of `x`.
    """
    _check_shapes(raw, x, self.channels(x.shape[-1]))
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


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """Independent Gaussian pixels (App. E.2).

  The first C channels of `raw` are the means, the last C give the standard
  deviations by a sigmoid scaled into [0.001, 0.4].
  """

  range: ClassVar = (-1.0, 1.0)  # of x

  def channels(self, image_channels: int) -> int:
    """Returns the channels of `raw` for an image of C channels: 2 C."""
    return 2 * image_channels

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """Returns log p(x|z) `[...]`, a density, in nats per image.

    Raises:
      ValueError: if the last three axes of `raw` do not fit those of `x`.
    """
    _check_shapes(raw, x, self.channels(x.shape[-1]))
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


Likelihood = Bernoulli | Gaussian

_LIKELIHOODS: dict[str, Likelihood] = {
  "bernoulli": Bernoulli(),
  "gaussian": Gaussian(),
}


def get(name: str) -> Likelihood:
  """Returns the likelihood of that name, 'bernoulli' or 'gaussian'.

  Raises:
    ValueError: if there is none.
  """
  if name not in _LIKELIHOODS:
    raise ValueError(
      f"likelihood must be one of {list(_LIKELIHOODS)}, not {name!r}."
    )
  return _LIKELIHOODS[name]


def _check_shapes(raw, x, channels):
  expected = (*x.shape[-3:-1], channels)
  if x.ndim < 3 or raw.shape[-3:] != expected:
    raise ValueError(
      f"raw must have last axes {expected} for x of shape {x.shape}, not"
      f" {raw.shape}."
    )
