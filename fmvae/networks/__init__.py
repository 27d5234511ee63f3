"""Encoders and decoders, made by name (Sec. 4, App. E)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae import likelihoods
from fmvae.networks import conv28, conv64, mlp

__all__ = ("VAE", "count_params", "make")

Params = Mapping[str, Any]

_OPTIONS = {"mlp": ("hidden",), "conv28": (), "conv64": ("width",)}
_IMAGE_SHAPES = {
  "conv28": ((28, 28, 1),),
  "conv64": ((64, 64, 3), (32, 32, 3)),
}


@dataclasses.dataclass(frozen=True)
class VAE:
  """An encoder and a decoder that fit together; holds no parameters.

  Hashable, and equal to another that `make` built from the same arguments.

  Attributes:
    encoder: `[..., H, W, C]` -> `(loc [..., L], log_var [..., L])`.
    decoder: `[..., L]` -> `[..., H, W, channels]`.
    latent_dim: L.
    image_shape: `(H, W, C)`.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent_dim: int
  image_shape: tuple[int, ...]

  def init(self, key: jax.Array) -> dict[str, Params]:
    """Returns float32 parameters under 'encoder' and 'decoder'."""
    encoder_key, decoder_key = jax.random.split(key)
    x = jnp.zeros(self.image_shape)
    z = jnp.zeros((self.latent_dim,))
    return {
      "encoder": self.encoder.init(encoder_key, x)["params"],
      "decoder": self.decoder.init(decoder_key, z)["params"],
    }

  def encode(
    self, params: Mapping[str, Params], x: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns q(z|x) = N(loc, diag exp(log_var)) (Sec. 2.3).

    Args:
      params: as `init` returns them.
      x: float `[..., H, W, C]`; 0 or 1 for binary data, [-1, 1] for RGB.

    Returns:
      `(loc [..., L], log_var [..., L])`.

    Raises:
      ValueError: if `x` is not floating or its last axes are not (H, W, C).
    """
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    if x.shape[-3:] != self.image_shape or not floating:
      raise ValueError(
        f"x must be floating with last axes {self.image_shape}, not"
        f" {x.dtype} {x.shape}."
      )
    out: Any = self.encoder.apply({"params": params["encoder"]}, x)
    return out

  def decode(self, params: Mapping[str, Params], z: jax.Array) -> jax.Array:
    """Returns the raw parameters of p(x|z) that `fmvae.likelihoods` reads.

    Args:
      params: as `init` returns them.
      z: float `[..., L]`.

    Returns:
      `[..., H, W, channels]`.

    Raises:
      ValueError: if the last axis of `z` is not L.
    """
    if z.shape[-1:] != (self.latent_dim,):
      raise ValueError(
        f"z must have last axis {self.latent_dim}, not shape {z.shape}."
      )
    raw: Any = self.decoder.apply({"params": params["decoder"]}, z)
    return raw


def make(
  name: str,
  *,
  latent_dim: int,
  image_shape: tuple[int, ...],
  likelihood: str,
  **options: Any,
) -> VAE:
  """Builds a network by the name that a config gives.

  Args:
    name: 'mlp', 'conv28' or 'conv64'.
    latent_dim: L.
    image_shape: `(H, W, C)`; (28, 28, 1) for 'conv28', (64, 64, 3) or
      (32, 32, 3) for 'conv64'.
    likelihood: name of the likelihood, as in `fmvae.likelihoods.get`; it sets
      the channels of the decoder.
    **options: `hidden` for 'mlp', the encoder's units per hidden layer, which
      the decoder has in reverse; `width` for 'conv64'.

  Returns:
    The `VAE`.

  Raises:
    ValueError: if the name, the likelihood or an option is unknown, or if the
      network cannot take the image shape.
  """
  if name not in _OPTIONS:
    raise ValueError(f"network must be one of {list(_OPTIONS)}, not {name!r}.")
  unknown = sorted(set(options) - set(_OPTIONS[name]))
  if unknown:
    raise ValueError(
      f"network {name!r} takes the options {list(_OPTIONS[name])}, not"
      f" {unknown}."
    )
  image_shape = tuple(image_shape)
  takes = _IMAGE_SHAPES.get(name)
  if len(image_shape) != 3 or (takes and image_shape not in takes):
    shapes = " or ".join(map(str, takes or ["(H, W, C)"]))
    raise ValueError(
      f"network {name!r} takes images of shape {shapes}, not {image_shape}."
    )
  channels = likelihoods.get(likelihood).channels(image_shape[-1])
  encoder: nn.Module
  decoder: nn.Module
  if name == "mlp":
    hidden = tuple(options.get("hidden", mlp.Encoder.hidden))
    encoder = mlp.Encoder(latent_dim, hidden)
    decoder = mlp.Decoder(image_shape, hidden[::-1], channels)
  elif name == "conv28":
    encoder = conv28.Encoder(latent_dim)
    decoder = conv28.Decoder(channels)
  else:
    encoder = conv64.Encoder(latent_dim, **options)
    decoder = conv64.Decoder(image_shape[0], channels=channels, **options)
  return VAE(encoder, decoder, latent_dim, image_shape)


def count_params(params: Any) -> int:
  """Returns how many numbers a tree of arrays (or of their shapes) holds."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
