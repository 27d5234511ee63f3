"""Checks at the prior's public edge.

Shapes and dtypes are known under tracing too; values are looked at where they
are at hand.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike


def concrete(x: ArrayLike) -> np.ndarray | None:
  """The values of `x`, or None where it is traced or lies on other hosts."""
  if isinstance(x, jax.core.Tracer):
    return None
  if isinstance(x, Array) and not (
    x.is_fully_addressable or x.is_fully_replicated
  ):
    return None
  return np.asarray(x)


def check_num_data(num_data: ArrayLike) -> None:
  """Raises ValueError where N is known not to be positive."""
  value = concrete(num_data)
  if value is not None and not np.all(value > 0):
    raise ValueError(f"num_data must be positive, got {num_data}")


def check_step_size(step_size: ArrayLike) -> None:
  """Raises ValueError where rho is known to be outside [0, 1]."""
  value = concrete(step_size)
  if value is not None and not np.all((value >= 0) & (value <= 1)):
    raise ValueError(f"step_size must be in [0, 1], got {step_size}")


def as_index(name: str, index: ArrayLike, sizes: tuple[int, ...]) -> Array:
  """`index` with -1 wherever it names no component.

  Args:
    name: of the argument.
    index: int, broadcastable to `[..., I]`.
    sizes: K_i of every factor.

  Returns:
    An index of the same shape, or one for every factor; at least int32, since
    a narrower type may not count the components.

  Raises:
    ValueError: an entry is known not to be from -1 to K_i - 1.
  """
  values = concrete(index)
  if values is not None:
    outside = (values < -1) | (values >= np.asarray(sizes))
    if np.any(outside):
      first = tuple(np.argwhere(outside)[0])
      i, value = first[-1], np.broadcast_to(values, outside.shape)[first]
      raise ValueError(
        f"{name} of factor {i} must be from -1 to {sizes[i] - 1}, got {value}"
      )
  index = jnp.asarray(index)
  index = index.astype(jnp.result_type(index, jnp.int32))
  sizes_like = lax.expand_dims(
    jnp.asarray(sizes, index.dtype), range(index.ndim - 1)
  )
  inside = (index >= 0) & (index < sizes_like)
  return jnp.where(inside, index, -1)


def as_labels(
  labels: Array, sizes: tuple[int, ...], leading: tuple[int, ...]
) -> Array:
  """Labels `[*leading, I]` with -1 wherever they name no component.

  Args:
    labels: integers.
    sizes: K_i of every factor.
    leading: axes of the encodings.

  Raises:
    ValueError: not integers of that shape, or known to be out of range.
  """
  wanted = (*leading, len(sizes))
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(f"labels must be integers {wanted}, got {labels.dtype}")
  if labels.shape != wanted:
    raise ValueError(f"labels must be {wanted}, got {labels.shape}")
  return as_index("labels", labels, sizes)
