"""Images from outside: the one place where they become ours.

Pictures are kept as uint8 `[N, H, W, C]`, vectors as float32 `[N, 1, 1, F]`: a
picture of one pixel with a channel for each number.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmvae.data.archives import DataError, one_line
from fmvae.data.imagesets import ImageSet
from fmvae.data.pixels import Fit
from fmvae.data.random import permutation

_MOST = 2**31 - 1  # of a label
_MOST_CHANNELS = 16  # of a picture; more are taken for a side
_TEST = "test_"  # how the arrays of the test split begin in an .npz


def from_arrays(
  images: Any,
  labels: Mapping[str, Any] | None = None,
  *,
  name: str = "arrays",
  split: str = "train",
) -> ImageSet:
  """Images, or vectors, and what is known of them, as a model trains on them.

  Args:
    images: uint8 `[N, H, W, C]` or `[N, H, W]`; or floats in [0, 1] of such a
      shape, which become uint8 by rounding 255 x. Numbers `[N, F]` are vectors
      and are kept as float32.
    labels: by name, of each image an integer, -1 where unknown; or a string,
      '' where unknown. The strings of a name, sorted, are its values.
    name: of the data, for messages.
    split: of the data.

  Raises:
    DataError: anything else: what is wrong, in one sentence.
  """
  kept = to_images(images, f"images of {name!r}")
  return _with_labels(kept, labels or {}, name, split)


def _with_labels(
  images: np.ndarray, labels: Mapping[str, Any], name: str, split: str
) -> ImageSet:
  features: dict[str, np.ndarray] = {}
  value_names: dict[str, tuple[str, ...]] = {}
  for label, values in labels.items():
    where = f"labels {label!r} of {name!r}"
    features[label], named = to_classes(values, where)
    if len(features[label]) != len(images):
      raise DataError(
        f"The {where} must be one for each of {len(images)} images, got "
        f"{len(features[label])}."
      )
    if named:
      value_names[label] = named
  return ImageSet(images, features, name, split, value_names)


def to_images(
  images: Any, what: str = "images", like: tuple[int, ...] | None = None
) -> np.ndarray:
  """Images as they are kept: uint8 `[N, H, W, C]`, float32 `[N, 1, 1, F]`.

  Args:
    images: as `from_arrays` takes them.
    what: they are, for messages.
    like: the shape `(H, W, C)` that each must have, if any.

  Raises:
    DataError: they are of another kind or shape, or none.
  """
  try:
    array = np.asarray(images)
  except ValueError as error:  # rows of different lengths
    raise DataError(f"The {what} must be one array ({error}).") from None
  if array.dtype.kind not in "uif":
    raise DataError(
      f"The {what} must be uint8, or floats in [0, 1], got {array.dtype}."
    )
  vectors = like is not None and like[:2] == (1, 1)
  if array.ndim == 2 or (vectors and array.shape[1:] == like):
    kept = _vectors(array, what)
  else:
    kept = _pictures(array, what, like)
  if not kept.size:
    raise DataError(f"The {what} must be at least one, got {array.shape}.")
  if like is not None and kept.shape[1:] != tuple(like):
    wanted = ("N", like[2]) if vectors else ("N", *like)
    shown = ", ".join(map(str, wanted))
    raise DataError(f"The {what} must be [{shown}], got {array.shape}.")
  return kept


def _vectors(array: np.ndarray, what: str) -> np.ndarray:
  if not np.isfinite(array).all():
    raise DataError(f"The {what} must be finite, got NaN or infinity.")
  with np.errstate(over="ignore"):
    kept = array.astype(np.float32)
  if not np.isfinite(kept).all():
    raise DataError(f"The {what} must be numbers that float32 can hold.")
  return kept.reshape(len(array), 1, 1, -1) if kept.size else kept


def _pictures(
  array: np.ndarray, what: str, like: tuple[int, ...] | None
) -> np.ndarray:
  shape = array.shape
  if array.ndim == 3:
    array = array[..., None]
  if array.ndim != 4:
    raise DataError(
      f"The {what} must be [N, H, W, C] or [N, H, W], or vectors [N, F], got "
      f"shape {shape}."
    )
  channels_last = array.shape[3] <= _MOST_CHANNELS or (
    like is not None and array.shape[3] == like[2]
  )
  if not channels_last or _is_channels_first(array.shape, like):
    raise DataError(
      f"The {what} must have the channels last, [N, H, W, C], got shape "
      f"{shape}: pass np.moveaxis(images, 1, -1)."
    )
  if array.dtype == np.uint8:
    return array
  if array.dtype.kind != "f":
    raise DataError(
      f"The {what} must be uint8, or floats in [0, 1], got {array.dtype}."
    )
  least, most = (array.min(), array.max()) if array.size else (0, 0)
  if not (least >= 0 and most <= 1):  # NaN is neither
    raise DataError(
      f"The {what} are floats and must be in [0, 1], got {least:g} to "
      f"{most:g}: scale them, or pass uint8 of 0 to 255."
    )
  return np.rint(array * 255).astype(np.uint8)


def _is_channels_first(
  shape: tuple[int, ...], like: tuple[int, ...] | None
) -> bool:
  """Whether `[N, C, H, W]`: few rows, and more columns of either kind."""
  if like is not None:
    return shape[1:] != tuple(like) and shape[1:] == (like[2], *like[:2])
  return shape[1] <= 4 < min(shape[2:])


def to_classes(values: Any, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
  """Labels as integers, and the names of 0, 1, .. where they are strings.

  Args:
    values: `[N]` integers, -1 where unknown, or strings, '' where unknown.
    what: they are, for messages.

  Returns:
    int32 `[N]` and the names, () for integers.

  Raises:
    DataError: other values.
  """
  array = np.asarray(values)
  if array.dtype == object and all(
    v is None or isinstance(v, str) for v in array.reshape(-1)
  ):
    array = np.array([v or "" for v in array.reshape(-1)]).reshape(array.shape)
  if array.ndim != 1 or array.dtype.kind not in "uibUS":
    raise DataError(
      f"The {what} must be integers or strings of shape [N], -1 or '' where "
      f"unknown, got {array.dtype} of shape {array.shape}."
    )
  if array.dtype.kind in "US":
    text = np.char.strip(array.astype(str))
    names = sorted(set(text.tolist()) - {""})
    numbers = {name: k for k, name in enumerate(names)} | {"": -1}
    return np.array([numbers[t] for t in text.tolist()], np.int32), tuple(names)
  if len(array) and not (array.min() >= -1 and array.max() <= _MOST):
    raise DataError(
      f"The {what} must be from 0 to {_MOST}, or -1 where unknown, got "
      f"{array.min()} to {array.max()}."
    )
  return array.astype(np.int32), ()


def fitted(whole: ImageSet, fit: Fit) -> ImageSet:
  """The pictures of a set in memory, cut, coloured and resized.

  Raises:
    DataError: they are vectors, or cannot be changed like that.
  """
  if fit == Fit():
    return whole
  if whole.images.shape[1:3] == (1, 1):
    raise DataError(
      "config.dataset.size, crop and colour are for pictures, and "
      f"{whole.name} holds vectors: leave them out."
    )
  try:
    images = np.stack([fit(image) for image in whole.images[:]])
  except ValueError as error:
    raise DataError(f"The images of {whole.name}: {error}.") from error
  return dataclasses.replace(whole, images=images)


def hold_out(
  whole: ImageSet, fraction: float, seed: int
) -> tuple[ImageSet, ImageSet]:
  """Splits a set at random into one to train on and one to test on.

  Args:
    whole: all images.
    fraction: of them that are for testing, in (0, 1); at least one image.
    seed: 0 to 2^64 - 1; the same split on every machine.

  Raises:
    DataError: fewer than two images.
  """
  num = len(whole.images)
  if num < 2:
    raise DataError(
      f"Data set {whole.name!r} must have at least 2 images, one of them to "
      f"test on, got {num}."
    )
  held = min(max(round(fraction * num), 1), num - 1)
  order = permutation(seed, "split", num)
  rows = {"train": np.sort(order[held:]), "test": np.sort(order[:held])}
  train, test = (whole.take(rows[split], split) for split in rows)
  return train, test


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
  """The arrays of an .npz file by name, one called `images` among them.

  Raises:
    DataError: it cannot be read, or has no such array.
  """
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
      arrays = dict(found)
  except Exception as error:  # of any kind, from any damage
    raise DataError(
      f"{path} cannot be read as an .npz file of arrays ({one_line(error)}): "
      "write it by np.savez(path, images=images, label=label)."
    ) from error
  if "images" not in arrays:
    raise DataError(
      f"{path} must hold an array called 'images', got {sorted(arrays)}."
    )
  return arrays


def read_npz(path: Path) -> tuple[ImageSet, ImageSet | None]:
  """The arrays of an .npz file, and those of its test split if it has one.

  It holds `images` and, under their names, labels; `test_images` and so on
  are those of the test split.

  Raises:
    DataError: it cannot be read, or holds something else.
  """
  arrays = npz_arrays(path)
  has_test = f"{_TEST}images" in arrays
  tests = {
    key.removeprefix(_TEST): array
    for key, array in arrays.items()
    if has_test and key.startswith(_TEST)
  }
  trains = {
    key: array
    for key, array in arrays.items()
    if not (has_test and key.startswith(_TEST))
  }
  if has_test and tests.keys() != trains.keys():
    odd = sorted(tests.keys() ^ trains.keys())
    raise DataError(
      f"{path} must hold the same labels for training and for testing, the "
      f"latter with {_TEST!r} before their names; {', '.join(odd)} has one of "
      "the two."
    )
  parts = [trains, tests] if has_test else [trains]
  whole = _with_labels(
    _joined([to_images(p["images"], f"images of {path}") for p in parts], path),
    {
      key: _joined([np.asarray(p[key]) for p in parts], path)
      for key in trains
      if key != "images"
    },
    str(path),
    "train",
  )
  num = len(trains["images"])
  if not has_test:
    return whole, None
  _check_lengths(parts, path)
  rows = np.arange(len(whole.images))
  return whole.take(rows[:num], "train"), whole.take(rows[num:], "test")


def _joined(parts: list[np.ndarray], path: Path) -> np.ndarray:
  if len({(part.ndim, part.shape[1:]) for part in parts}) > 1:
    raise DataError(
      f"The arrays in {path} must have one shape for training and for testing, "
      f"got {' and '.join(str(part.shape) for part in parts)}."
    )
  return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _check_lengths(parts: list[dict[str, np.ndarray]], path: Path) -> None:
  for part, prefix in zip(parts, ("", _TEST), strict=True):
    for key, array in part.items():
      if len(array) != len(part["images"]):
        raise DataError(
          f"{prefix + key!r} in {path} must be one for each of "
          f"{len(part['images'])} images, got {len(array)}."
        )
