"""Encoders and decoders, made by name (Sec. 4, App. E).

A pair comes from a function, which may be a user's own
(`config.network.name = "my_module:make"`)::

  make(latent_dim, image_shape, channels, **options) -> (encoder, decoder)
  encoder  [B, H, W, C] -> (loc [B, L], log_var [B, L])
  decoder  [B, L] -> [B, H, W, channels], the raw parameters of p(x|z)

`image_shape` is (H, W, C), (1, 1, F) of vectors; `channels` is what the
likelihood asks for; the options are the other fields of `config.network`. Each
of the two is a Flax Linen module, or a function which makes an nnx module when
it is called with `rngs=`. Params are float32, and the only variables: no
BatchNorm, whose averages are a state, and no dropout, which needs random
numbers. Every row of a batch is by itself. `own.pair` checks all of this before
anything is compiled.

To add a pair to this package: a module with such a `make`, which checks the
image shape and whose modules take any number of batch axes, and its line in
`_PAIRS`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fmvae import importing
from fmvae.networks import conv, conv28, conv64, mlp

if TYPE_CHECKING:  # it imports nnx, which loads slowly
  from fmvae.networks import own

__all__ = ("AUTO", "VAE", "check", "choose", "count_params", "make")

Params = Mapping[str, Any]

_MOST_UNITS = 2**16  # of a layer
_LEAST_CONVOLVED = 12  # pixels to a side; smaller pictures take the MLP pair

_PAIRS: dict[str, Callable[..., tuple[nn.Module, nn.Module]]] = {
  "mlp": mlp.make,
  "gated_mlp": mlp.make_gated,
  "conv28": conv28.make,
  "conv64": conv64.make,
  "conv": conv.make,
}
AUTO = "auto"  # in place of a name: what `choose` says


@dataclasses.dataclass(frozen=True)
class VAE:
  """An encoder and a decoder that fit together; holds no parameters.

  Hashable, and equal to another that `make` built from the same arguments.

  Attributes:
    encoder: `[..., H, W, C]` -> `(loc [..., L], log_var [..., L])`.
    decoder: `[..., L]` -> `[..., H, W, channels]`.
    latent_dim: L.
    image_shape: `(H, W, C)`.
    of_counts: whether the encoder sees log(1 + x).
  """

  encoder: "nn.Module | own.Linen | own.Nnx"
  decoder: "nn.Module | own.Linen | own.Nnx"
  latent_dim: int
  image_shape: tuple[int, ...]
  of_counts: bool = False

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
        f"x must be floating with last axes {self.image_shape}, got"
        f" {x.dtype} {x.shape}"
      )
    if self.of_counts:
      x = jnp.log1p(x)
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
        f"z must have last axis {self.latent_dim}, got shape {z.shape}"
      )
    raw: Any = self.decoder.apply({"params": params["decoder"]}, z)
    return raw


def check(name: Any, options: Mapping[str, Any]) -> None:
  """Checks a network's name and options, before there are images.

  An option is a number of units or channels, a sequence of them, or yes or no;
  which of these, its default in the module's `make` says. Those of a user's own
  `make` are what it takes.

  Raises:
    ValueError: if the name or an option is unknown or has no such value.
  """
  if importing.is_object(name):
    arguments = (0, (0, 0, 0), 0)
    importing.check_arguments("network.name", name, *arguments, **options)
    return
  if not isinstance(name, str) or name not in (*_PAIRS, AUTO):
    raise ValueError(
      f"network.name must be one of {[*_PAIRS, AUTO]} or 'module:function' of "
      f"your own, got {name!r}"
    )
  makes = _PAIRS.get(name, _choose_pair)
  known = dict(list(inspect.signature(makes).parameters.items())[3:])
  for option, value in options.items():
    if option not in known:
      raise ValueError(
        f"network.{option} is no option of network {name!r}, which has "
        f"{list(known)}"
      )
    default = known[option].default
    sizes = f"from 1 to {_MOST_UNITS}"
    if isinstance(default, bool):
      right, what = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
      right, what = _is_size(value), f"an integer {sizes}"
    else:
      right = isinstance(value, tuple | list) and all(map(_is_size, value))
      what = f"a tuple of integers {sizes}"
    if not right:
      raise ValueError(f"network.{option} must be {what}, got {value!r}")


def choose(image_shape: tuple[int, ...]) -> dict[str, Any]:
  """The name and the options of the network that fits images of a shape.

  The paper's pairs at 28x28x1 and 64x64x3 (also 32x32x3), the latter with a
  quarter of the paper's width, for a CPU; 'mlp' for vectors and for pictures
  with a side below 12; 'conv' for all others.
  """
  if image_shape == (28, 28, 1):
    return {"name": "conv28"}
  if image_shape in ((64, 64, 3), (32, 32, 3)):
    return {"name": "conv64", "width": 32}
  if min(image_shape[:2]) < _LEAST_CONVOLVED:
    return {"name": "mlp", "hidden": (512, 512)}
  return {"name": "conv", "width": 32}


def _choose_pair(latent_dim, image_shape, channels):
  chosen = choose(image_shape)
  return _PAIRS[chosen.pop("name")](latent_dim, image_shape, channels, **chosen)


def _is_size(value: Any) -> bool:
  return (
    isinstance(value, int)
    and not isinstance(value, bool)
    and 1 <= value <= _MOST_UNITS
  )


def _as_tuple(value: Any) -> Any:
  """An option as a config file has it, also where it comes from JSON."""
  if isinstance(value, tuple | list):
    return tuple(map(_as_tuple, value))
  return value


def make(
  name: str,
  *,
  latent_dim: int,
  image_shape: tuple[int, ...],
  channels: int,
  of_counts: bool = False,
  **options: Any,
) -> VAE:
  """Builds a network by the name that a config gives.

  Args:
    name: 'mlp', 'gated_mlp', 'conv28', 'conv64' or 'conv', or
      'module:function'.
    latent_dim: L.
    image_shape: `(H, W, C)`.
    channels: of the decoder's output, `Likelihood.channels(C)`.
    of_counts: as of `VAE`.
    **options: those of the module's `make`.

  Raises:
    ValueError: if the name or an option is unknown, or if the network cannot
      take the image shape.
  """
  check(name, options)
  image_shape = tuple(image_shape)
  if len(image_shape) != 3:
    raise ValueError(
      f"image_shape must be (H, W, C) for network {name!r}, got {image_shape}"
    )
  arguments = (latent_dim, image_shape, channels)
  if importing.is_object(name):
    from fmvae.networks import own

    encoder, decoder = importing.make(
      "name",
      name,
      lambda returned: own.pair(returned, *arguments),
      *arguments,
      **{option: _as_tuple(value) for option, value in options.items()},
    )
  else:
    encoder, decoder = _PAIRS.get(name, _choose_pair)(*arguments, **options)
  return VAE(encoder, decoder, latent_dim, image_shape, of_counts)


def count_params(params: Any) -> int:
  """Returns how many numbers a tree of arrays (or of their shapes) holds."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
