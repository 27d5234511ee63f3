"""Convolutional pair for pictures of any size from 8 to 256 pixels a side.

Stages of stride 2 halve both sides, an odd one padded first, until neither is
above 7; the decoder goes back along the same sizes.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae.networks.convolution import Conv, ConvTranspose

_TOP = 7  # most pixels to a side of the smallest feature map
_LEAST, _MOST = 8, 256  # pixels to a side of a picture
_MOST_TIMES = 8  # channels of a stage, in widths


def sizes(height: int, width: int) -> list[tuple[int, int]]:
  """Sides of the picture and of the feature map after each stage."""
  found = [(height, width)]
  while max(found[-1]) > _TOP:
    h, w = found[-1]
    found.append(((h + 1) // 2, (w + 1) // 2))
  return found


def _features(width: int, stage: int) -> int:
  return width * min(2**stage, _MOST_TIMES)


class Encoder(nn.Module):
  """3x3 convolutions of stride 2 and a linear layer.

  Attributes:
    latent_dim: L, the dimensions of the latent space.
    width: channels of the first convolution; each other has twice as many as
      the one before, up to eight times as many as the first.
  """

  latent_dim: int
  width: int = 32

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., H, W, C]` -> `(loc [..., L], log_var [..., L])`."""
    batch = x.shape[:-3]
    for stage in range(len(sizes(*x.shape[-3:-1])) - 1):
      odd = [(0, side % 2) for side in x.shape[-3:-1]]
      x = jnp.pad(x, ((0, 0),) * len(batch) + (*odd, (0, 0)))
      x = nn.relu(Conv(_features(self.width, stage), 2)(x))
    x = nn.Dense(2 * self.latent_dim)(x.reshape(*batch, -1))
    loc, log_var = jnp.split(x, 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """A linear layer and 3x3 transposed convolutions of stride 2.

  Attributes:
    sides: `(H, W)` of the images.
    width: as in `Encoder`, whose channels it mirrors.
    channels: raw likelihood parameters per pixel.
  """

  sides: tuple[int, int]
  width: int = 32
  channels: int = 6

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., H, W, channels]`."""
    *below, (height, width) = sizes(*self.sides)
    features = _features(self.width, len(below) - 1)
    x = nn.relu(nn.Dense(height * width * features)(z))
    x = x.reshape(*z.shape[:-1], height, width, features)
    for stage in reversed(range(1, len(below))):
      x = nn.relu(ConvTranspose(_features(self.width, stage - 1), 2)(x))
      x = _crop(x, below[stage])
    return _crop(ConvTranspose(self.channels, 2)(x), below[0])


def _crop(x: jax.Array, sides: tuple[int, int]) -> jax.Array:
  return x[..., : sides[0], : sides[1], :]


def make(
  latent_dim: int,
  image_shape: tuple[int, int, int],
  channels: int,
  width: int = 32,
) -> tuple[Encoder, Decoder]:
  """The pair, for sides from 8 to 256 and any number of channels.

  Raises:
    ValueError: another image shape.
  """
  sides = image_shape[:2]
  if not (min(sides) >= _LEAST and max(sides) <= _MOST):
    raise ValueError(
      f"image_shape must have sides from {_LEAST} to {_MOST} for network "
      f"'conv', got {image_shape}: config.dataset.size resizes them"
    )
  return Encoder(latent_dim, width), Decoder(sides, width, channels)
