"""What every likelihood is."""

from typing import ClassVar, Protocol

import jax


class Likelihood(Protocol):
  """p(x|z) as a value: hashable, without parameters of its own."""

  range: ClassVar[tuple[float, float]]  # of x
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
