"""Checks at the prior's public edge.

Shapes and dtypes are known under tracing too; values are looked at where they
are at hand.
"""

import jax
import numpy as np
from jax import Array
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
