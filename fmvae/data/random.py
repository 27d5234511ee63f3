"""Random numbers that stay the same on every machine and NumPy version.

NumPy promises this for the raw output of a bit generator, not for methods such
as `Generator.permutation`, so everything here is made from raw output.
"""

import zlib

import numpy as np


def uniform_bits(seed: int, purpose: str, index: int = 0) -> np.random.Philox:
  """Returns a Philox generator for one purpose.

  Args:
    seed: 0 to 2^64 - 1.
    purpose: a word; different words give independent numbers.
    index: 0 to 2^32 - 1, such as an epoch.

  Raises:
    ValueError: if `seed` or `index` is out of range.
  """
  if not 0 <= seed < 2**64:
    raise ValueError(f"seed must be 0 to 2^64 - 1, got {seed}")
  if not 0 <= index < 2**32:
    raise ValueError(f"index must be 0 to 2^32 - 1, got {index}")
  purpose_key = zlib.crc32(purpose.encode()) << 32 | index
  return np.random.Philox(key=np.array([seed, purpose_key], np.uint64))


def permutation(seed: int, purpose: str, size: int, index: int = 0):
  """Returns a random permutation, int64 [size]; arguments as above."""
  raw = uniform_bits(seed, purpose, index).random_raw(size)
  return np.argsort(raw, kind="stable")
