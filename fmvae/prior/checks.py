"""Checks at the prior's public edge.

Shapes and dtypes are known under tracing too; values are looked at where they
are at hand.
"""

from collections.abc import Iterable

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
  """Raises ValueError where N is known not to be positive and finite."""
  value = concrete(num_data)
  most = np.finfo(np.float32).max
  if value is not None and not np.all((value > 0) & (value <= most)):
    raise ValueError(f"num_data must be positive and finite, got {num_data}")


def check_step_size(step_size: ArrayLike) -> None:
  """Raises ValueError where rho is known to be outside [0, 1]."""
  value = concrete(step_size)
  if value is not None and not np.all((value >= 0) & (value <= 1)):
    raise ValueError(f"step_size must be in [0, 1], got {step_size}")


def as_factors(
  factors: Iterable[tuple[int, int]],
) -> tuple[tuple[int, int], ...]:
  """(D_i, K_i) of every factor.

  Raises:
    ValueError: there is none, or D_i or K_i is below one.
  """
  factors = tuple((int(d), int(k)) for d, k in factors)
  for i, (d, k) in enumerate(factors):
    if d < 1 or k < 1:
      raise ValueError(
        f"factors[{i}] must be (D, K) with D and K at least 1, got {(d, k)}"
      )
  if not factors:
    raise ValueError("factors must name at least one (D, K), got none")
  return factors


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


def as_encodings(
  latent: int, loc: Array, log_var: Array | None
) -> tuple[Array, Array]:
  """`loc` and `log_var`, in float32 where they come in a lower precision.

  bfloat16 cannot count the points of a batch, and float16 not those of a
  training set. Points without a `log_var` are known exactly: it is -inf.

  Raises:
    ValueError: not both `[..., L]` of one shape.
  """
  for name, x in (("loc", loc), ("log_var", log_var)):
    if x is not None and (not x.shape or x.shape[-1] != latent):
      raise ValueError(f"{name} must be [..., {latent}], got {x.shape}")
  if log_var is None:
    loc = _at_least_single(loc)
    return loc, jnp.full_like(loc, -jnp.inf)
  if loc.shape != log_var.shape:
    raise ValueError(
      f"log_var must have the shape of loc, {loc.shape}, got {log_var.shape}"
    )
  return _at_least_single(loc), _at_least_single(log_var)


def _at_least_single(x: Array) -> Array:
  """`x` in float32 or what else it is; NumPy's arrays become JAX's."""
  x = jnp.asarray(x)
  is_half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
  return x.astype(jnp.float32) if is_half else x


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
  if not isinstance(labels, Array | np.ndarray):
    raise ValueError(f"labels must be an array {wanted}, got {type(labels)}")
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(f"labels must be integers {wanted}, got {labels.dtype}")
  if labels.shape != wanted:
    raise ValueError(f"labels must be {wanted}, got {labels.shape}")
  return as_index("labels", labels, sizes)
