"""Convolutional pair for 64x64 RGB images (Sec. 4.2, App. E.2).

At `width` 128, L = 128 and six output channels the pair has 27,857,670
parameters, the paper's figure.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae.networks.subpixel import ConvTranspose


class Encoder(nn.Module):
  """Four 3x3 convolutions of stride 2 and a linear layer.

  Attributes:
    latent_dim: L, the dimensions of the latent space.
    width: channels of the first convolution; the others have 2, 4, 8 times as
      many. The paper's is 128; smaller ones suit a CPU.
  """

  latent_dim: int
  width: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., 64, 64, 3]` -> `(loc [..., L], log_var [..., L])`."""
    batch = x.shape[:-3]
    for multiple in (1, 2, 4, 8):
      x = nn.relu(nn.Conv(multiple * self.width, (3, 3), 2)(x))
    x = nn.Dense(2 * self.latent_dim)(x.reshape(*batch, 4 * 4 * 8 * self.width))
    loc, log_var = jnp.split(x, 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """A linear layer and four 3x3 transposed convolutions of stride 2.

  Attributes:
    width: as in `Encoder`, whose channels it mirrors.
    channels: raw likelihood parameters per pixel; 6 for a Gaussian on RGB.
  """

  width: int = 128
  channels: int = 6

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., 64, 64, channels]`."""
    top = 8 * self.width
    x = nn.relu(nn.Dense(4 * 4 * top)(z)).reshape(*z.shape[:-1], 4, 4, top)
    for multiple in (8, 4, 2):
      x = nn.relu(ConvTranspose(multiple * self.width, 2)(x))
    return ConvTranspose(self.channels, 2)(x)
