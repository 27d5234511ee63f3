"""Splits of a data set, in memory or on disk, and how they are read."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from absl import logging
from tqdm import tqdm

from fmvae.data.archives import DataError
from fmvae.data.batches import Batch
from fmvae.data.builders import Features, ValueNames
from fmvae.data.random import permutation
from fmvae.storage import clear_partial, replacing

_RECORDS_PER_READ = 1_000
_DECODED_VERSION = 1  # of how images are decoded and resized


class Images(Protocol):
  """uint8 [N, H, W, C]: an array, or `Records`."""

  @property
  def shape(self) -> tuple[int, ...]:
    """Of all images."""

  def __len__(self) -> int:
    """N."""

  def __getitem__(self, rows: Any, /) -> Any:
    """The images of a slice or of integers, as an array."""


class Records:
  """The images of a split on disk, decoded when they are asked for.

  Indexed by a slice or by integers it gives what the array of all images would.
  """

  dtype = np.dtype(np.uint8)

  def __init__(self, builder: Any, split: str):
    """Looks at the first record of a prepared data set.

    Raises:
      ValueError: it cannot be decoded.
    """
    self._builder, self._split = builder, split
    self._source = builder.as_data_source(split)
    (first,) = _examples(self._source, [0])
    self.shape = (len(self._source), *_image(builder, first).shape)

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
    """Images `[n, H, W, C]`; DataError names a record that is damaged."""
    chosen = np.arange(len(self))[rows].tolist()
    out = np.empty((len(chosen), *self.shape[1:]), np.uint8)
    try:
      for place, example in enumerate(_examples(self._source, chosen)):
        image = _image(self._builder, example)
        _check_shape(image, out, chosen[place])
        out[place] = image
    except (OSError, RuntimeError, ValueError) as error:
      raise DataError(
        f"{_broken(self._builder, self._split)} ({error}): {_REMEDY}"
      ) from error
    return out


class Some:
  """Some of the images of a split on disk."""

  dtype = np.dtype(np.uint8)

  def __init__(self, images: Images, rows: np.ndarray):
    """`rows` are int `[n]`."""
    self._images, self._rows = images, rows
    self.shape = (len(rows), *images.shape[1:])

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
    found: np.ndarray = self._images[self._rows[rows]]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
  """One split of a data set.

  Attributes:
    images: uint8 [N, H, W, C], or vectors, float32 [N, 1, 1, F].
    features: name -> int32 [N], -1 where missing.
    value_names: what the values 0, 1, .. of a feature are called, where they
      have names.
    name: name of the data set.
    split: name of the split.

  Raises:
    DataError: a feature that is not [N].
  """

  images: Images  # [N, H, W, C]
  features: Features  # [N] each
  name: str
  split: str
  value_names: ValueNames = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    wanted = (len(self.images),)
    for name, values in self.features.items():
      if np.shape(values) != wanted:
        raise DataError(
          f"Feature {name!r} of split {self.split!r} of data set {self.name!r} "
          f"must have shape {wanted}, one value an image, got "
          f"{np.shape(values)}."
        )

  def take(self, rows: np.ndarray, split: str) -> "ImageSet":
    """Some of the images, as a split of that name; int `[n]`, ascending."""
    images = self.images
    some = (
      images[rows] if isinstance(images, np.ndarray) else Some(images, rows)
    )
    features = {name: values[rows] for name, values in self.features.items()}
    return ImageSet(some, features, self.name, split, self.value_names)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """One part of a data set as a model trains on it or is tested on it."""

  images: Images  # uint8 [N, H, W, C], as `Preprocessing.input` takes them
  labels: np.ndarray  # int32 [N, I], what the model may see, -1 elsewhere
  features: Features  # everything that is known of the images, for scoring

  def __len__(self) -> int:
    return len(self.images)

  def batch(self, indices: np.ndarray) -> Batch:
    """The rows at `indices`."""
    return Batch(images=self.images[indices], labels=self.labels[indices])


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
  images = np.concatenate([s.images[:] for s in sets])
  features = {
    name: np.concatenate([s.features[name] for s in sets])
    for name in sets[0].features
  }
  return [
    ImageSet(
      images[rows],
      {name: values[rows] for name, values in features.items()},
      old.name,
      old.split,
      old.value_names,
    )
    for old, rows in zip(sets, chosen, strict=True)
  ]


def set_aside(
  whole: ImageSet, num: int, seed: int | None
) -> tuple[ImageSet, ImageSet]:
  """Parts some images from those to train on: the rest, and these.

  Args:
    whole: all images.
    num: of those set aside, 1 to N - 1.
    seed: 0 to 2^64 - 1, the same images on every machine; None for the last.
  """
  total = len(whole.images)
  order = np.arange(total)
  if seed is not None:
    order = permutation(seed, "validation", total)
  rest, aside = np.sort(order[:-num]), np.sort(order[-num:])
  return whole.take(rest, whole.split), whole.take(aside, "validation")


def read(builder: Any, split: str, in_memory: bool = True) -> ImageSet:
  """Reads one split of a prepared data set, or its labels alone.

  Raises:
    DataError: the prepared copy is not complete, a record cannot be decoded or
      a label is out of range; names it.
  """
  broken = _broken(builder, split)
  if not builder.is_prepared():
    raise DataError(f"{broken}: {_REMEDY}")
  if split not in builder.info.splits:
    raise DataError(
      f"The pictures of {builder.name!r} in {builder.data_path} include none"
      f" of split {split!r}; it has {', '.join(builder.info.splits)}."
    )
  import tensorflow_datasets as tfds  # loads slowly

  classes = {
    name: feature
    for name, feature in builder.info.features.items()
    if isinstance(feature, tfds.features.ClassLabel)
    and name in builder.stored()
  }
  try:
    if in_memory:
      arrays = _kept(builder, split, f"decoded{builder.fit}", {})
      images: Images = arrays.pop("image")
    else:
      skip = {"image": tfds.decode.SkipDecoding()}
      arrays = _kept(builder, split, "labels", skip)
      images = Records(builder, split)
    for name, feature in classes.items():
      _check_values(name, arrays[name], feature.num_classes)
  except (OSError, NotImplementedError, RuntimeError, ValueError) as error:
    raise DataError(f"{broken} ({error}): {_REMEDY}") from error
  features, value_names = builder.describe_features(arrays)
  return ImageSet(images, features, builder.name, split, value_names)


_REMEDY = "move this folder away and load again, or pass another --data_dir."


def _broken(builder: Any, split: str) -> str:
  return (
    f"{builder.data_path} holds no complete copy of split {split!r} of data set"
    f" {builder.name!r} in the array_record format"
  )


def _kept(
  builder: Any, split: str, what: str, decoders: dict[str, Any]
) -> dict[str, np.ndarray]:
  """Features of a split; kept decoded beside it for the next time.

  Decoding PNG or JPEG takes seconds to minutes, reading the arrays a tenth of
  a second. Where they cannot be kept or are damaged, they are decoded anew.
  """
  path = Path(builder.data_path) / f"{what}-{_DECODED_VERSION}-{split}.npz"
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
      arrays = dict(kept)
    _check_kept(builder, split, arrays, decoders)
    return arrays
  except FileNotFoundError:
    pass
  except Exception as error:  # of any kind, from any damage
    logging.warning("%s is damaged and made anew (%s).", path, error)
  arrays = _decode(builder, split, decoders)
  clear_partial(path.parent)
  with contextlib.suppress(OSError), replacing(path) as temporary:
    np.savez(temporary, allow_pickle=False, **arrays)
  return arrays


def _check_kept(
  builder: Any,
  split: str,
  arrays: dict[str, np.ndarray],
  decoders: dict[str, Any],
) -> None:
  """Raises ValueError where arrays are not what `_decode` would give."""
  count = builder.info.splits[split].num_examples
  shapes = {
    name: feature.shape
    for name, feature in builder.info.features.items()
    if name in builder.stored() and name not in decoders
  }
  if arrays.keys() != shapes.keys():
    raise ValueError(f"it must hold {sorted(shapes)}, got {sorted(arrays)}")
  for name, shape in shapes.items():
    array, is_image = arrays[name], name == "image"
    dtype = np.uint8 if is_image else np.int32
    # What an image is kept as is for its builder to say.
    fits = array.ndim == 4 if is_image else array.shape[1:] == shape
    if array.dtype != dtype or len(array) != count or not fits:
      raise ValueError(f"{name} is {array.dtype} {array.shape}")


def _decode(
  builder: Any, split: str, decoders: dict[str, Any]
) -> dict[str, np.ndarray]:
  """Reads all records of a split; leaves out what is not decoded."""
  arrays: dict[str, np.ndarray] = {}
  source = builder.as_data_source(split, decoders=decoders)
  count, title = len(source), f"Reading {builder.name} {split}"
  examples = _examples(source, range(count))
  kept = [name for name in builder.stored() if name not in decoders]
  for index, example in enumerate(
    tqdm(examples, title, total=count, disable=None)
  ):
    read = {key: example[key] for key in kept}
    if "image" in read:
      read["image"] = _image(builder, example)
    for key, value in read.items():
      if index == 0:
        dtype = np.uint8 if key == "image" else np.int32
        arrays[key] = np.empty((count, *np.shape(value)), dtype)
      _check_shape(value, arrays[key], index)
      arrays[key][index] = value
  return arrays


def _examples(source: Any, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
  """The examples at `rows`; ValueError names one that cannot be decoded."""
  for start in range(0, len(rows), _RECORDS_PER_READ):
    some = rows[start : start + _RECORDS_PER_READ]
    try:
      examples = source.__getitems__(some)
    except Exception:  # of any kind, from any decoder
      for row in some:
        try:
          source.__getitems__([row])
        except Exception as error:
          raise ValueError(f"record {row} cannot be read: {error}") from error
      raise
    yield from examples


def _image(builder: Any, example: dict[str, Any]) -> np.ndarray:
  """The image of an example, as it is kept."""
  image: np.ndarray = builder.fit(builder.to_array(example["image"]))
  return image


def _check_shape(value: Any, like: np.ndarray, row: int) -> None:
  if np.shape(value) != like.shape[1:]:
    raise ValueError(
      f"record {row} has shape {np.shape(value)}, others {like.shape[1:]}"
    )


def _check_values(name: str, values: np.ndarray, num_classes: int) -> None:
  wrong = np.flatnonzero((values < -1) | (values >= num_classes))
  if len(wrong):
    raise ValueError(
      f"record {wrong[0]} has {name} {values[wrong[0]]}, and {len(wrong) - 1} "
      f"more are wrong: they must be 0 to {num_classes - 1}, or -1 for none"
    )
