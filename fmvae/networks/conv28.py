"""Convolutional pair for 28x28 images (Sec. 4.1; Gulrajani et al., 2017).

Height of the feature maps: 28 28 14 14 7 (padded to 8) 8 4 4 4 on the way
down, and back along the same sizes. With one channel and L = 64 the pair has
567,745 parameters. The paper prints 567,775, which no network of this kind can
have (every count is 1 modulo 32): a misprint of one digit.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae.networks.convolution import Conv, ConvTranspose


class Encoder(nn.Module):
  """Eight 3x3 convolutions and a linear layer (App. E.1).

  Attributes:
    latent_dim: L, the dimensions of the latent space.
  """

  latent_dim: int

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., 28, 28, C]` -> `(loc [..., L], log_var [..., L])`."""
    for features, stride in ((32, 1), (32, 2), (32, 1), (64, 2)):
      x = nn.relu(Conv(features, stride)(x))
    batch = x.shape[:-3]
    corner = ((0, 1), (0, 1), (0, 0))  # 7x7 -> 8x8 at the bottom and right
    x = jnp.pad(x, ((0, 0),) * len(batch) + corner)
    for stride in (1, 2, 1, 1):
      x = nn.relu(Conv(64, stride)(x))
    x = nn.Dense(2 * self.latent_dim)(x.reshape(*batch, 4 * 4 * 64))
    loc, log_var = jnp.split(x, 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """A linear layer and eight 3x3 transposed convolutions (App. E.1).

  Attributes:
    channels: raw likelihood parameters per pixel; 1 for Bernoulli logits.
  """

  channels: int = 1

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., 28, 28, channels]`."""
    x = nn.relu(nn.Dense(4 * 4 * 64)(z)).reshape(*z.shape[:-1], 4, 4, 64)
    for stride in (1, 1, 2, 1):
      x = nn.relu(ConvTranspose(64, stride)(x))
    x = x[..., :7, :7, :]
    for stride in (2, 1, 2):
      x = nn.relu(ConvTranspose(32, stride)(x))
    return ConvTranspose(self.channels)(x)


def make(
  latent_dim: int, image_shape: tuple[int, int, int], channels: int
) -> tuple[Encoder, Decoder]:
  """The pair, for (28, 28, 1).

  Raises:
    ValueError: another image shape.
  """
  if image_shape != (28, 28, 1):
    raise ValueError(
      f"image_shape must be (28, 28, 1) for network 'conv28', got {image_shape}"
    )
  return Encoder(latent_dim), Decoder(channels)
