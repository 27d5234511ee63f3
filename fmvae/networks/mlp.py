"""Fully connected pair with ReLU, for images of any shape."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn


class Encoder(nn.Module):
  """Flattens the image.

  Attributes:
    latent_dim: L, the dimensions of the latent space.
    hidden: units of each hidden layer, in order.
  """

  latent_dim: int
  hidden: Sequence[int] = (512, 512)

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., H, W, C]` -> `(loc [..., L], log_var [..., L])`."""
    x = x.reshape(*x.shape[:-3], -1)
    for units in self.hidden:
      x = nn.relu(nn.Dense(units)(x))
    loc, log_var = jnp.split(nn.Dense(2 * self.latent_dim)(x), 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """Mirrors `Encoder` where `hidden` lists its units in reverse.

  Attributes:
    image_shape: `(H, W, C)`.
    hidden: units of each hidden layer, in order.
    channels_out: raw likelihood parameters per pixel; C where None.
  """

  image_shape: tuple[int, ...]
  hidden: Sequence[int] = (512, 512)
  channels_out: int | None = None

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., H, W, channels_out]`."""
    height, width, channels = self.image_shape
    if self.channels_out is not None:
      channels = self.channels_out
    x = z
    for units in self.hidden:
      x = nn.relu(nn.Dense(units)(x))
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
