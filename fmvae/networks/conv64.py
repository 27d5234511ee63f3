"""Convolutional pair for 64x64 RGB images (Sec. 4.2, App. E.2).

At `width` 128, L = 128 and six output channels the pair has 27,857,670
parameters, the paper's figure. 32x32 images take one layer less.

z enters this decoder by one linear layer, where what its factors say adds up.
Where a shape must look the same in every corner they have to multiply: with
`modulated` z also scales and shifts the channels of each layer (Perez et al.
2018, 1709.07871).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae.networks.convolution import Conv, ConvTranspose

_TOP = 4  # side of the smallest feature map
_CODE = 128  # units between z and the changes of a modulated layer


class Encoder(nn.Module):
  """3x3 convolutions of stride 2 down to 4x4 and a linear layer (App. E.2).

  Attributes:
    latent_dim: L, the dimensions of the latent space.
    width: channels of the first convolution; each other has twice as many as
      the one before. The paper's is 128; smaller ones suit a CPU.
  """

  latent_dim: int
  width: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`x` `[..., 64, 64, C]` -> `(loc [..., L], log_var [..., L])`."""
    features = self.width
    while x.shape[-2] > _TOP:
      x = nn.relu(Conv(features, 2)(x))
      features *= 2
    x = nn.Dense(2 * self.latent_dim)(x.reshape(*x.shape[:-3], -1))
    loc, log_var = jnp.split(x, 2, axis=-1)
    return loc, log_var


class Decoder(nn.Module):
  """A linear layer and 3x3 transposed convolutions of stride 2 (App. E.2).

  Attributes:
    side: of the images, 64; 32 takes three of them.
    width: as in `Encoder`, whose channels it mirrors.
    channels: raw likelihood parameters per pixel; 6 for a Gaussian on RGB.
    modulated: whether z scales and shifts the channels of each layer.
  """

  side: int = 64
  width: int = 128
  channels: int = 6
  modulated: bool = False

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """`z` `[..., L]` -> `[..., side, side, channels]`."""
    code = nn.relu(nn.Dense(_CODE)(z)) if self.modulated else None

    def rectified(x: jax.Array) -> jax.Array:
      if code is None:
        return nn.relu(x)
      start = nn.initializers.normal(0.02)  # close to no modulation
      changes = nn.Dense(2 * x.shape[-1], kernel_init=start)(code)
      changes = changes[..., None, None, :]
      scale, shift = jnp.split(changes, 2, axis=-1)
      return nn.relu(x * (1 + scale) + shift)

    features = self.width * self.side // _TOP // 2
    x = nn.Dense(_TOP * _TOP * features)(z)
    x = rectified(x.reshape(*z.shape[:-1], _TOP, _TOP, features))
    while features > self.width:
      x = rectified(ConvTranspose(features, 2)(x))
      features //= 2
    return ConvTranspose(self.channels, 2)(x)


def make(
  latent_dim: int,
  image_shape: tuple[int, int, int],
  channels: int,
  width: int = 128,
  modulated: bool = False,
) -> tuple[Encoder, Decoder]:
  """The pair, for (64, 64, 3) or (32, 32, 3).

  Raises:
    ValueError: another image shape.
  """
  if image_shape not in ((64, 64, 3), (32, 32, 3)):
    raise ValueError(
      "image_shape must be (64, 64, 3) or (32, 32, 3) for network 'conv64', "
      f"got {image_shape}"
    )
  return (
    Encoder(latent_dim, width),
    Decoder(image_shape[0], width, channels, modulated),
  )
