"""Products and shapes of arrays."""

from jax import Array, lax


def matmul(x: Array, y: Array) -> Array:
  """`[..., n] [n, m] -> [..., m]` in full float32, where TF32 loses digits."""
  axes = ((x.ndim - 1,), (0,)), ((), ())
  return lax.dot_general(x, y, axes, precision=lax.Precision.HIGHEST)


def align(x: Array, like: Array) -> Array:
  """`x` with leading axes of length one, as many axes in all as `like` has."""
  return lax.expand_dims(x, range(like.ndim - x.ndim))
