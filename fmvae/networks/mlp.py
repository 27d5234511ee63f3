"""Fully connected pairs, for images of any shape: ReLU, or gated layers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn


class GatedDense(nn.Module):
  """h sigmoid(g), of two linear layers h and g (Dauphin et al., 2017)."""

  units: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """`[..., n]` -> `[..., units]`."""
    h, g = jnp.split(nn.Dense(2 * self.units)(x), 2, axis=-1)
    return h * nn.sigmoid(g)


def _hidden(x: jax.Array, hidden: Sequence[int], gated: bool) -> jax.Array:
  """The hidden layers, within the scope of the module that calls it."""
  for units in hidden:
    x = GatedDense(units)(x) if gated else nn.relu(nn.Dense(units)(x))
  return x


class Encoder(nn.Module):
  """Flattens the image.

  Attributes:
    latent_dim: L, the dimensions of the latent space.
    hidden: units of each hidden layer, in order.
    gated: whether these are gated, or have ReLU.
  """

  latent_dim: int
  hidden: Sequence[int] = (512, 512)
  gated: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., H, W, C]` -> `(loc [..., L], log_var [..., L])`."""
    x = _hidden(x.reshape(*x.shape[:-3], -1), self.hidden, self.gated)
    loc, log_var = jnp.split(nn.Dense(2 * self.latent_dim)(x), 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """Mirrors `Encoder` where `hidden` lists its units in reverse.

  Attributes:
    image_shape: `(H, W, C)`.
    hidden: units of each hidden layer, in order.
    channels_out: raw likelihood parameters per pixel; C where None.
    gated: as in `Encoder`.
  """

  image_shape: tuple[int, ...]
  hidden: Sequence[int] = (512, 512)
  channels_out: int | None = None
  gated: bool = False

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., H, W, channels_out]`."""
    height, width, channels = self.image_shape
    if self.channels_out is not None:
      channels = self.channels_out
    x = _hidden(z, self.hidden, self.gated)
    x = nn.Dense(height * width * channels)(x)
    return x.reshape(*z.shape[:-1], height, width, channels)


def make(
  latent_dim: int,
  image_shape: tuple[int, int, int],
  channels: int,
  hidden: Sequence[int] = (512, 512),
) -> tuple[Encoder, Decoder]:
  """The pair; `hidden` are the encoder's units, which the decoder reverses."""
  hidden = tuple(hidden)
  return (
    Encoder(latent_dim, hidden),
    Decoder(image_shape, hidden[::-1], channels),
  )


def make_gated(
  latent_dim: int,
  image_shape: tuple[int, int, int],
  channels: int,
  hidden: Sequence[int] = (300, 300),
) -> tuple[Encoder, Decoder]:
  """The pair of VampPrior and the papers after it (Tomczak & Welling, 2018).

  Their code also clips log_var to [-6, 2] and draws the first weights as He et
  al. do.
  """
  hidden = tuple(hidden)
  return (
    Encoder(latent_dim, hidden, gated=True),
    Decoder(image_shape, hidden[::-1], channels, gated=True),
  )
