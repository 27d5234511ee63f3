"""Splits of a data set in memory, and how they are read from disk."""

import contextlib
import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fmvae.data.files import DataError
from fmvae.data.images import omniglot_28
from fmvae.data.random import permutation
from fmvae.files import replacing

_RECORDS_PER_READ = 1_000
_DECODED_VERSION = 1  # of how images are decoded and resized


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
  """One split of a data set, in memory.

  Attributes:
    images: uint8 [N, H, W, C].
    labels: name -> int32 [N], -1 where missing.
    values: what the numbers 0, 1, .. of a label are called, where they have
      names.
    name: name of the data set.
    split: name of the split.
  """

  images: np.ndarray  # [N, H, W, C]
  labels: dict[str, np.ndarray]  # [N] each
  name: str
  split: str
  values: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def resplit(
  sets: Sequence[ImageSet], sizes: Sequence[int], seed: int
) -> list[ImageSet]:
  """Splits the images of all sets anew, at random.

  Omniglot's literature uses 24,345 training and 8,070 test images drawn from
  all alphabets, so that every test alphabet has been seen; the official split
  tests on alphabets of its own.

  Args:
    sets: splits of one data set.
    sizes: of the new sets, one for each of `sets`; images beyond their sum are
      left out.
    seed: 0 to 2^64 - 1; the same split on every machine.

  Returns:
    The new sets, under the names of the old ones.

  Raises:
    DataError: `sizes` that are not positive or sum to more than there is.
  """
  total = sum(len(s.images) for s in sets)
  if min(sizes) < 1 or sum(sizes) > total:
    raise DataError(
      f"Data set {sets[0].name!r} has {total} images in all and cannot be split"
      f" into {' + '.join(map(str, sizes))}."
    )
  order = permutation(seed, "split", total)
  chosen = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
  images = np.concatenate([s.images for s in sets])
  labels = {
    name: np.concatenate([s.labels[name] for s in sets])
    for name in sets[0].labels
  }
  return [
    ImageSet(
      images[rows],
      {name: values[rows] for name, values in labels.items()},
      old.name,
      old.split,
      old.values,
    )
    for old, rows in zip(sets, chosen, strict=True)
  ]


def read(builder: Any, split: str) -> ImageSet:
  """Reads one split of a prepared data set.

  Raises:
    DataError: the prepared copy is not complete.
  """
  broken = (
    f"{builder.data_path} holds no complete copy of data set"
    f" {builder.name!r} in the array_record format"
  )
  remedy = "move this folder away and load again, or pass another --data_dir."
  if not builder.is_prepared():
    raise DataError(f"{broken}: {remedy}")
  if split not in builder.info.splits:
    raise DataError(
      f"The pictures of {builder.name!r} in {builder.data_path} include none"
      f" of split {split!r}; it has {', '.join(builder.info.splits)}."
    )
  try:
    arrays = _decoded(builder, split)
  except (OSError, NotImplementedError, RuntimeError, ValueError) as error:
    raise DataError(f"{broken} ({error}): {remedy}") from error
  import tensorflow_datasets as tfds  # loads slowly

  images = arrays.pop("image")
  if "attributes" in arrays:
    columns = np.ascontiguousarray(arrays.pop("attributes").T)
    arrays.update(zip(builder.ATTRIBUTES, columns, strict=True))
    values = builder.VALUES
  else:
    values = {
      name: tuple(feature.names)
      for name, feature in builder.info.features.items()
      if isinstance(feature, tfds.features.ClassLabel) and feature.names
    }
  return ImageSet(images, arrays, builder.name, split, values)


def _decoded(builder: Any, split: str) -> dict[str, np.ndarray]:
  """All features of a split; kept decoded beside it for the next time.

  Decoding PNG or JPEG takes seconds to minutes, reading the arrays a tenth of
  a second. Where they cannot be kept or are damaged, they are decoded anew.
  """
  path = Path(builder.data_path) / f"decoded-{_DECODED_VERSION}-{split}.npz"
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
      return dict(kept)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    arrays = _decode(builder, split)
  with contextlib.suppress(OSError), replacing(path) as temporary:
    np.savez(temporary, allow_pickle=False, **arrays)
  return arrays


def _decode(builder: Any, split: str) -> dict[str, np.ndarray]:
  """Reads all records of a split."""
  adapt = omniglot_28 if builder.name == "omniglot" else np.asarray
  arrays: dict[str, np.ndarray] = {}
  source = builder.as_data_source(split)
  count = len(source)
  for index, example in enumerate(_examples(source, builder.name, split)):
    example["image"] = adapt(example["image"])
    for key, value in example.items():
      if index == 0:
        dtype = np.uint8 if key == "image" else np.int32
        arrays[key] = np.empty((count, *np.shape(value)), dtype)
      arrays[key][index] = value
  return arrays


def _examples(source: Any, name: str, split: str):
  with tqdm(
    total=len(source), desc=f"Reading {name} {split}", disable=None
  ) as bar:
    for start in range(0, len(source), _RECORDS_PER_READ):
      stop = min(start + _RECORDS_PER_READ, len(source))
      yield from source.__getitems__(range(start, stop))
      bar.update(stop - start)
