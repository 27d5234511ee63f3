"""Which images make up a batch, and which keep their labels.

Both are pure functions of a seed, so a run that stops and resumes at the same
step sees exactly the batches that an uninterrupted run sees.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from fmvae.data.random import permutation


class Batch(NamedTuple):
  """What the data pipeline feeds to a step."""

  images: Any  # uint8 [B, H, W, C]
  labels: Any  # int32 [B, I], -1 where missing


def batch_indices(
  seed: int, step: int, *, num_data: int, batch_size: int
) -> np.ndarray:
  """Returns the images that step `step` trains on.

  The batches cut the endless row of epochs, each a permutation of all images,
  into equal parts; a batch may begin in one epoch and end in the next, so no
  image is left out.

  Args:
    seed: 0 to 2^64 - 1.
    step: 0 for the first batch.
    num_data: images in the data set.
    batch_size: images in a batch, at most `num_data`.

  Returns:
    int64 [batch_size], from 0 to `num_data` - 1.

  Raises:
    ValueError: if an argument is out of range.
  """
  if not 1 <= batch_size <= num_data:
    raise ValueError(
      f"batch_size must be 1 to num_data = {num_data}, got {batch_size}"
    )
  if step < 0:
    raise ValueError(f"step must be at least 0, got {step}")
  epoch, start = divmod(step * batch_size, num_data)
  head = _epoch(seed, epoch, num_data)[start : start + batch_size]
  if len(head) == batch_size:
    return head.copy()
  tail = _epoch(seed, epoch + 1, num_data)[: batch_size - len(head)]
  return np.concatenate([head, tail])


def keep_labels(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
  """Drops all labels but those of a random part of the images.

  Which images keep their labels depends on `seed`, `fraction` and the number
  of images alone; a larger fraction keeps the labels of a smaller one.

  Args:
    labels: integers [N], 0 or more.
    fraction: share of the images that keep their label, 0 to 1.
    seed: 0 to 2^64 - 1.

  Returns:
    A copy of `labels` with -1 where the label is dropped; round(fraction N)
    labels are kept.

  Raises:
    ValueError: if an argument is out of range.
  """
  if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.signedinteger):
    raise ValueError(
      "labels must be signed integers of shape [N], got"
      f" {labels.dtype} of shape {labels.shape}"
    )
  if not 0 <= fraction <= 1:
    raise ValueError(f"fraction must be 0 to 1, got {fraction}")
  order = permutation(seed, "labels", len(labels))
  kept = labels.copy()
  kept[order[round(fraction * len(labels)) :]] = -1
  return kept


@functools.lru_cache(maxsize=8)
def _epoch(seed: int, epoch: int, num_data: int) -> np.ndarray:
  return permutation(seed, "epoch", num_data, index=epoch)
