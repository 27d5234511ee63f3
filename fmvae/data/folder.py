"""A folder of pictures, as a TFDS builder.

A data set is what the folder held when it was prepared: the names, sizes and
times of its files and how the pictures are cut and resized make up the name of
the prepared copy, so that another folder is prepared anew.
"""

import csv
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from fmvae.data.archives import DataError, read_lines
from fmvae.data.arrays import to_classes
from fmvae.data.builders import Described
from fmvae.data.pictures import (
  GREY,
  SUFFIXES,
  check_any,
  files_below,
  header,
  read,
)
from fmvae.data.pixels import Fit, encode_png

_FORMAT = 1  # of what is stored


@dataclasses.dataclass
class Folder(tfds.core.BuilderConfig):
  """What is in a folder.

  Attributes:
    path: of the folder.
    fit: what is made of each picture.
    splits: for each split the pictures, relative to `path`.
  """

  path: Path = Path()
  fit: Fit = dataclasses.field(default_factory=Fit)
  splits: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def look_into(path: Path, fit: Fit) -> Folder:
  """Lists a folder, without opening a picture.

  Raises:
    DataError: it cannot be read, or has no pictures.
  """
  try:
    files = files_below(path, (*SUFFIXES, ".csv"))
    stats = [(path / file).stat() for file in files]
  except OSError as error:
    raise DataError(f"The folder {path} cannot be read ({error}).") from error
  pictures = [f for f in files if not f.lower().endswith(".csv")]
  check_any(path, pictures)
  digest = hashlib.sha256(f"{_FORMAT} {fit!r}".encode())
  for file, stat in zip(files, stats, strict=True):
    digest.update(f"{file}\0{stat.st_size} {stat.st_mtime_ns}\0".encode())
  stem = re.sub(r"[^A-Za-z0-9_]", "_", path.resolve().name)[:40]
  tops = {Path(file).parts[0] for file in pictures}
  splits = {"train": pictures}
  if tops == {"train", "test"} and _list_of(path) is None:
    splits = {
      top: [f for f in pictures if Path(f).parts[0] == top]
      for top in ("train", "test")
    }
  return Folder(
    name=f"{stem}_{digest.hexdigest()[:12]}",
    path=path,
    fit=fit,
    splits=splits,
  )


class Pictures(  # type: ignore[call-arg]
  Described, tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """The pictures of a folder and what is known of them.

  Sub-folders are the values of `label`, and pictures beside them have none; or
  a CSV file in the folder has a column `file` and one for each property, empty
  where unknown. With sub-folders `train` and `test` those are the splits. What
  is transparent is white.
  """

  name = "pictures"
  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    folder = self.builder_config
    files = [file for files in folder.splits.values() for file in files]
    shape = _common_shape(folder, files)
    self._labels, names = _labels_of(folder, files)
    return tfds.core.DatasetInfo(
      builder=self,
      description=f"The pictures in {folder.path}.",
      features=tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape, encoding_format="png")}
        | {
          name: tfds.features.ClassLabel(names=names[name])
          if names[name]
          else tfds.features.ClassLabel(num_classes=int(values.max()) + 1)
          for name, values in self._labels.items()
        }
      ),
    )

  def _split_generators(self, dl_manager):
    starts, start = {}, 0
    for split, files in self.builder_config.splits.items():
      starts[split] = start
      start += len(files)
    return {
      split: self._generate_examples(files, starts[split])
      for split, files in self.builder_config.splits.items()
    }

  def _generate_examples(self, files, start):
    folder = self.builder_config
    channels = self.info.features["image"].shape[2]
    for row, file in enumerate(files, start):
      image = read(folder.path / file, channels)
      labels = {name: int(v[row]) for name, v in self._labels.items()}
      yield file, {"image": encode_png(folder.fit(image).squeeze()), **labels}


def builder_of(folder: Folder, data_dir: Path) -> Pictures:
  """The builder of a folder.

  Raises:
    DataError: what the folder holds is no data set.
  """

  # TFDS warns of a configuration that the class does not list.
  class OfFolder(  # type: ignore[call-arg]
    Pictures, skip_registration=True
  ):
    name = Pictures.name
    BUILDER_CONFIGS = [folder]  # noqa: RUF012 - TFDS wants a list

  return OfFolder(data_dir=data_dir, config=folder.name)


def _common_shape(folder: Folder, files: list[str]) -> tuple[int, int, int]:
  """(H, W, C) of the pictures as they are stored, from their headers."""
  fit, sides, grey = folder.fit, set(), True
  for file in files:
    height, width, mode = header(folder.path / file)
    square = min(height, width)
    sides.add((square, square) if fit.crop == "centre" else (height, width))
    grey &= mode in GREY
  if fit.size is not None:
    sides = {(fit.size, fit.size)}
  if len(sides) > 1:
    (h, w), (most_h, most_w) = min(sides), max(sides)
    raise DataError(
      f"The pictures in {folder.path} have different sizes, such as {h}x{w} "
      f"and {most_h}x{most_w}: set config.dataset.size, such as 64, and "
      "config.dataset.crop to 'centre' to keep their proportions."
    )
  ((height, width),) = sides
  one = fit.colour == "grey" or (fit.colour == "keep" and grey)
  return height, width, 1 if one else 3


def _list_of(path: Path) -> Path | None:
  """The CSV file of a folder, if any."""
  lists = sorted(f for f in path.glob("*.csv") if not f.name.startswith("."))
  if len(lists) > 1:
    raise DataError(
      f"The folder {path} must hold one CSV file at most, got "
      f"{', '.join(f.name for f in lists)}."
    )
  return lists[0] if lists else None


def _labels_of(
  folder: Folder, files: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
  """What is known of each picture, int32 `[N]`, and the names of values."""
  path = _list_of(folder.path)
  if path is not None:
    columns = _read_list(path, files)
  else:
    first = 1 if len(folder.splits) > 1 else 0  # below train and test
    columns = {"label": [_class_of(file, first) for file in files]}
  labels, names = {}, {}
  for name, cells in columns.items():
    where = (
      f"column {name!r} of {path}" if path else f"classes of {folder.path}"
    )
    values, named = to_classes(_numbers(cells, where), where)
    if (values >= 0).any():
      labels[name], names[name] = values, named
  return labels, names


def _class_of(file: str, first: int) -> str:
  folders = Path(file).parts[first:-1]
  return folders[0] if folders else ""


def _numbers(cells: list[str], where: str) -> list[str] | list[int]:
  """Integers where all cells are; DataError for other numbers."""
  given = [cell for cell in cells if cell]
  try:
    [float(cell) for cell in given]
  except ValueError:
    return cells
  try:
    return [int(cell) if cell else -1 for cell in cells]
  except ValueError:
    raise DataError(
      f"The {where} must hold integers or names, got numbers such as "
      f"{next(c for c in given if not c.lstrip('-').isdecimal())}: divide them "
      "into classes."
    ) from None


def _read_list(path: Path, files: list[str]) -> dict[str, list[str]]:
  """The columns of a CSV file, in the order of `files`, '' where unknown."""
  rows = list(csv.DictReader(_lines(path)))
  columns = [c for c in (rows[0] if rows else {}) if c is not None]
  wrong = [c for c in columns if not re.fullmatch(r"[\w -]+", c)]
  if "file" not in columns or "image" in columns or wrong:
    raise DataError(
      f"{path} must have a first line that names a column 'file' and one for "
      "each property, by letters, digits, blanks, _ and -, and none 'image'; "
      f"got {columns}."
    )
  by_file: dict[str, dict[str, str]] = {}
  known = set(files)
  for number, row in enumerate(rows, 2):
    if None in row:
      raise DataError(f"Line {number} of {path} has more cells than the first.")
    file = str(Path((row["file"] or "").strip()))
    if file not in known or file in by_file:
      what = "is not in the folder" if file not in known else "is there twice"
      raise DataError(
        f"Line {number} of {path}: {file!r} {what}; each line must name one "
        f"picture, by its path below {path.parent}."
      )
    by_file[file] = row
  return {
    column: [
      (by_file.get(file, {}).get(column) or "").strip() for file in files
    ]
    for column in columns
    if column != "file"
  }


def _lines(path: Path) -> Iterator[str]:
  lines = read_lines(path)
  yield from (line.lstrip("\ufeff") for line in lines)
