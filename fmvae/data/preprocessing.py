"""From the images of a data set to what a network takes, as a value."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from fmvae.data import binarisation
from fmvae.data.imagesets import Images

KINDS = ("static", "dynamic", "threshold", "none")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How images become zeros and ones, or colours in [-1, 1].

  Attributes:
    binarisation: 'static', one Bernoulli draw fixed by `seed`; 'dynamic', a new
      draw each time for training, a static one for testing; 'threshold'; or
      'none', which scales to [-1, 1].
    threshold: of 'threshold', 0 to 1.
    seed: of the static draw.
  """

  binarisation: str = "none"
  threshold: float = 0.5
  seed: int = 0

  def __post_init__(self):
    if self.binarisation not in KINDS:
      raise ValueError(
        f"binarisation must be one of {KINDS}, got {self.binarisation!r}"
      )
    if not 0 <= self.threshold < 1:
      raise ValueError(
        f"threshold must be at least 0 and below 1, got {self.threshold}"
      )

  def prepare(self, images: Images, *, training: bool) -> Any:
    """Binarises for good what is the same each time.

    Args:
      images: uint8 `[N, H, W, C]`; on disk where nothing is done here.
      training: whether they are training images.

    Returns:
      uint8 `[N, H, W, C]`, what `input` takes.
    """
    if self.binarisation == "threshold":
      return binarisation.threshold(images[:], self.threshold)
    if self.binarisation == "static" or (
      self.binarisation == "dynamic" and not training
    ):
      return binarisation.static(images[:], self.seed, training=training)
    return images

  def input(self, training: bool) -> Callable[[Array, Array], Array]:
    """From one prepared image and a PRNG key to a float image.

    The same function for equal arguments, so that compiled code is shared.
    """
    if self.binarisation == "none":
      return _centred
    if self.binarisation == "dynamic" and training:
      return binarisation.dynamic
    return _as_float


def _centred(key: Array, image: Array) -> Array:
  """0 to 255 become -1 to 1."""
  del key
  return image.astype(jnp.float32) / 127.5 - 1


def _as_float(key: Array, image: Array) -> Array:
  del key
  return image.astype(jnp.float32)
