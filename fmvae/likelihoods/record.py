"""What every likelihood is."""

from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp

from fmvae.importing import describe, require_members

_BATCH = 5  # of the images that are thought of


class Likelihood(Protocol):
  """p(x|z) as a value: hashable, without parameters of its own."""

  range: ClassVar[tuple[float, float]]  # of x; its mean is shown clipped to it
  binary: ClassVar[bool]  # whether x is 0 or 1
  counts: ClassVar[bool]  # whether x is 0, 1, 2, ..

  def channels(self, image_channels: int) -> int:
    """The channels of `raw` for an image of C channels."""

  def log_prob(self, raw: jax.Array, x: jax.Array) -> jax.Array:
    """log p(x|z) `[...]` in nats per image."""

  def mean(self, raw: jax.Array) -> jax.Array:
    """E[x|z] `[..., H, W, C]`."""

  def std(self, raw: jax.Array) -> jax.Array:
    """The standard deviation of x given z, `[..., H, W, C]`."""

  def sample(self, key: jax.Array, raw: jax.Array) -> jax.Array:
    """A draw of x given z, `[..., H, W, C]`."""


def check_shapes(raw: jax.Array, x: jax.Array, channels: int) -> None:
  """Raises ValueError unless `raw` fits images `x` with so many channels."""
  expected = (*x.shape[-3:-1], channels)
  if x.ndim < 3 or raw.shape[-3:] != expected:
    raise ValueError(
      f"raw must have last axes {expected} for x of shape {x.shape}, got"
      f" {raw.shape}"
    )


def checked(likelihood: Likelihood) -> Likelihood:
  """A user's own likelihood, once it has been found to be one.

  Raises:
    ValueError: what it lacks, in a sentence.
  """
  require_members(likelihood, Likelihood)
  for name in ("binary", "counts"):
    if not isinstance(getattr(likelihood, name), bool):
      raise ValueError(
        f"{name} must be True or False, got {getattr(likelihood, name)!r}"
      )
  bounds = likelihood.range
  if not (
    isinstance(bounds, tuple)
    and len(bounds) == 2
    and all(isinstance(bound, int | float) for bound in bounds)
    and bounds[0] < bounds[1]
  ):
    raise ValueError(
      f"range must be two numbers, (lowest, highest), got {bounds!r}"
    )
  return likelihood


def check_methods(likelihood: Likelihood, image_shape: tuple[int, ...]) -> None:
  """Raises ValueError unless its methods return what the protocol says.

  By shapes alone; nothing is compiled.

  Args:
    likelihood: with all members.
    image_shape: `(H, W, C)` of the images that it is for.
  """
  channels = likelihood.channels(image_shape[-1])
  if not isinstance(channels, int) or channels < 1:
    raise ValueError(f"channels must return a number, got {channels!r}")
  images = (_BATCH, *image_shape)
  x = jax.ShapeDtypeStruct(images, jnp.float32)
  raw = jax.ShapeDtypeStruct((*images[:-1], channels), jnp.float32)
  key = jax.random.key(0)
  for name, arguments, shape in (
    ("log_prob", (raw, x), (_BATCH,)),
    ("mean", (raw,), images),
    ("std", (raw,), images),
    ("sample", (key, raw), images),
  ):
    try:
      found = jax.eval_shape(getattr(likelihood, name), *arguments)
    except Exception as error:  # of code that is not ours
      raise ValueError(f"{name} failed: {describe(error)}") from error
    wanted = jax.ShapeDtypeStruct(shape, jnp.float32)
    if (getattr(found, "shape", None), getattr(found, "dtype", None)) != (
      wanted.shape,
      wanted.dtype,
    ):
      raise ValueError(
        f"{name} must return float32 {list(shape)} for images {list(images)}, "
        f"got {found}"
      )
