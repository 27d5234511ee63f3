"""From the images of a data set to what a network takes, as a value.

Vectors are shifted and scaled feature by feature: `standardised`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from fmvae.data import binarisation
from fmvae.data.imagesets import Images

_LOOKED_AT = 1_000  # pictures
_BINARY = 0.7  # of the variance of zeros and ones
KINDS = ("static", "dynamic", "threshold", "none")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How images become zeros and ones, or colours in [-1, 1], or features.

  Attributes:
    binarisation: 'static', one Bernoulli draw fixed by `seed`; 'dynamic', a new
      draw each time for training, a static one for testing; 'threshold'; or
      'none', which scales to [-1, 1].
    threshold: of 'threshold', 0 to 1.
    seed: of the static draw.
    loc: of vectors, what each feature is reduced by; () for pictures.
    scale: of vectors, what it is divided by then; () for pictures.
  """

  binarisation: str = "none"
  threshold: float = 0.5
  seed: int = 0
  loc: tuple[float, ...] = ()
  scale: tuple[float, ...] = ()

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
    if self.loc:
      return _Standardise(self.loc, self.scale)
    if self.binarisation == "none":
      return _centred
    if self.binarisation == "dynamic" and training:
      return binarisation.dynamic
    return _as_float

  def restore(self, x: ArrayLike) -> np.ndarray:
    """Vectors in the user's units, float32 `[..., F]`, from `[..., 1, 1, F]`.

    The opposite of `input`; for pictures see `Model.to_unit`.
    """
    vectors = np.asarray(x, np.float32)[..., 0, 0, :]
    loc, scale = (np.asarray(v, np.float32) for v in (self.loc, self.scale))
    return vectors * scale + loc


def is_nearly_binary(images: Images) -> bool:
  """Whether pictures are grey and most of their pixels black or white.

  The rule: x/255 has at least 70 % of the variance that zeros and ones of the
  same mean would have, over all pixels of (up to) 1,000 pictures. MNIST has 83,
  Omniglot 74, the digits of scikit-learn 66 %.

  Args:
    images: uint8 `[N, H, W, C]`.
  """
  if images.shape[3] != 1:
    return False
  every = max(len(images) // _LOOKED_AT, 1)
  x = images[::every][:_LOOKED_AT].astype(np.float64) / 255
  mean = np.mean(x)
  return bool(np.var(x) >= _BINARY * mean * (1 - mean) > 0)


def are_counts(vectors: Images) -> bool:
  """Whether all are 0, 1, 2, .., float32 `[N, 1, 1, F]`."""
  x = np.asarray(vectors[:])
  return bool(((x >= 0) & (x == np.rint(x))).all())


def standardised(vectors: Images) -> Preprocessing:
  """Gives each feature mean 0 and variance 1 over these vectors.

  A feature that is constant is shifted alone.

  Args:
    vectors: float32 `[N, 1, 1, F]`, those that a model trains on.
  """
  flat = np.asarray(vectors[:], np.float64).reshape(len(vectors), -1)
  loc, scale = np.mean(flat, 0), np.std(flat, 0)
  constant = scale <= 1e-6 * np.abs(loc)  # but for float32's own digits
  scale[constant] = 1
  return Preprocessing(
    loc=tuple(float(np.float32(v)) for v in loc),
    scale=tuple(float(np.float32(v)) for v in scale),
  )


@dataclasses.dataclass(frozen=True)
class _Standardise:
  """A function that equals another of equal numbers."""

  loc: tuple[float, ...]
  scale: tuple[float, ...]

  def __call__(self, key: Array, image: Array) -> Array:
    del key
    shape = (1,) * (image.ndim - 1) + (-1,)
    loc, scale = (
      jnp.asarray(v, jnp.float32).reshape(shape) for v in (self.loc, self.scale)
    )
    return (image.astype(jnp.float32) - loc) / scale


def _centred(key: Array, image: Array) -> Array:
  """0 to 255 become -1 to 1."""
  del key
  return image.astype(jnp.float32) / 127.5 - 1


def _as_float(key: Array, image: Array) -> Array:
  del key
  return image.astype(jnp.float32)
