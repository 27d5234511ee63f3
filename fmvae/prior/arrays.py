"""Products and shapes of arrays."""

import numpy as np
from jax import Array, lax

_FEWEST = 256  # points of a compiled program


def matmul(x: Array, y: Array) -> Array:
  """`[..., n] [n, m] -> [..., m]` in full float32, where TF32 loses digits."""
  axes = ((x.ndim - 1,), (0,)), ((), ())
  return lax.dot_general(x, y, axes, precision=lax.Precision.HIGHEST)


def align(x: Array, like: Array) -> Array:
  """`x` with leading axes of length one, as many axes in all as `like` has."""
  return lax.expand_dims(x, range(like.ndim - x.ndim))


def padded(points: np.ndarray) -> np.ndarray:
  """`[N, L]` with points repeated until their number is a power of two.

  What is compiled for it serves batches of all sizes up to that one.
  """
  size = max(_FEWEST, 1 << (len(points) - 1).bit_length())
  return points[np.arange(size) % len(points)] if size > len(points) else points
