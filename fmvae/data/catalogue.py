"""`load`: a data set by name, prepared by TFDS and read into one array."""

import importlib
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from fmvae.data.archives import DataError
from fmvae.data.builders import Described
from fmvae.data.imagesets import ImageSet, read
from fmvae.storage import locked

# By name, the class of the builder in a module of this package, which says
# everything else of the data set (`builders.Described`).
_BUILDERS = {
  "uci_digits": "digits.UciDigits",
  "shapes": "shapes.Shapes",
  "mnist": "mnist.MNIST",
  "omniglot": "omniglot.Omniglot",
  "celeb_a": "celeb_a.CelebA",
}

DATASETS = tuple(_BUILDERS)
ARRAYS = "arrays"  # the name of images that a user's program gives


def load(
  name: str | type[Described],
  split: str,
  *,
  data_dir: str | Path | None = None,
  manual_dir: str | Path | None = None,
  in_memory: bool = True,
) -> ImageSet:
  """Loads one split, preparing the data set first where that is needed.

  The order of the images is the one in which TFDS stores them: shuffled, and
  the same on every machine.

  Args:
    name: one of `DATASETS`, or a builder of one's own.
    split: `train` or `test`, or another one that the data set has.
    data_dir: where prepared data sets are kept, TFDS's own default if None:
      the environment variable `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
    manual_dir: a folder with the original source files, directly or in a
      folder with the data set's name. If None, those that a program can
      download are downloaded when they have to be prepared.
    in_memory: False leaves the images on disk (`Records`) and reads the
      features.

  Returns:
    The split.

  Raises:
    DataError: for anything that the user can put right: an unknown name or
      split, missing, damaged or wrong source files, a folder that cannot be
      written, a prepared copy that is not complete.
  """
  described = _described(name)
  if split not in described.SPLITS:
    raise DataError(
      f"The split of data set {described.name!r} must be one of"
      f" {', '.join(described.SPLITS)}, got {split!r}."
    )
  builder = _open(described, data_dir)
  if not builder.data_path.exists():
    _prepare(builder, _source_folder(described, manual_dir))
    builder = _open(described, data_dir)
  return read(builder, split, in_memory)


def _described(name: str | type[Described]) -> Any:
  """The class of the builder."""
  if not isinstance(name, str):
    return name
  if name == ARRAYS:
    raise DataError(
      "The images of this run were arrays of another program, which are not "
      "kept: fmvae.load works without them."
    )
  if name not in _BUILDERS:
    raise DataError(
      f"The data set must be one of {', '.join(DATASETS)}, got {name!r}."
    )
  module, _, class_name = _BUILDERS[name].partition(".")
  return getattr(importlib.import_module(f"fmvae.data.{module}"), class_name)


def _open(described: Any, data_dir: str | Path | None) -> Any:
  """Makes the builder of one data set, from its prepared copy if any."""
  from google.protobuf import json_format

  folder = None if data_dir is None else Path(data_dir).expanduser()
  try:
    return described(data_dir=folder)
  except (
    json_format.ParseError,
    AssertionError,  # another version
    ValueError,
  ) as error:
    why = " ".join(str(error).split())
    raise DataError(
      f"The prepared copy of data set {described.name!r} in"
      f" {folder or 'the default data_dir'} cannot be read ({why}): move it"
      " away and load again, or pass another --data_dir."
    ) from error


def _source_folder(
  described: Any, manual_dir: str | Path | None
) -> Path | None:
  """Finds the folder with the source files and checks that all are there."""
  name, names = described.name, described.SOURCE_FILES
  if not names or (manual_dir is None and described.DOWNLOADED):
    return None
  if manual_dir is None:
    raise DataError(
      f"Data set {name!r} cannot be downloaded by a program: put"
      f" {', '.join(names)} into one folder and pass that as --manual_dir."
    )
  folder = Path(manual_dir).expanduser()
  if (folder / name).is_dir():
    folder = folder / name
  missing = [file for file in names if not (folder / file).is_file()]
  if missing:
    raise DataError(
      f"Data set {name!r} needs {', '.join(missing)} in {folder}: put the"
      " original files there, or pass the folder that has them as"
      " --manual_dir."
    )
  return folder


def _prepare(builder: Any, source_folder: Path | None) -> None:
  """Writes the data set; TFDS renames the folder when all of it is there."""
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.download import download_manager

  _check_writable(builder)
  if source_folder is None and builder.SOURCE_FILES:
    _check_reachable(builder)
  folder = Path(builder.data_path).parent
  waiting = f"waiting for another process that prepares {builder.name} there: "
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"{waiting}{folder}"):
      if builder.data_path.exists():
        return  # it has prepared it
      for left in folder.glob("incomplete.*"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          manual_dir=source_folder, try_download_gcs=False
        ),
        file_format="array_record",
      )
  except download_manager.NonMatchingChecksumError as error:
    raise DataError(
      f"Data set {builder.name!r}: {str(error).splitlines()[0]} Replace it by"
      " the original file."
    ) from error
  except OSError as error:
    if not builder.is_prepared():  # true if another program was quicker
      raise DataError(
        f"Cannot prepare data set {builder.name!r} in {builder.data_dir_root}:"
        f" {error}."
      ) from error


def _check_writable(builder: Any) -> None:
  root = Path(builder.data_dir_root)
  try:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root):
      pass
  except OSError as error:
    raise DataError(
      f"Cannot write data set {builder.name!r} to {root}"
      f" ({error}): pass a folder that can be written"
      " as --data_dir."
    ) from error


def _check_reachable(builder: Any) -> None:
  """Asks for one source file first, as TFDS tries for minutes to reach it."""
  url = next(iter(builder.url_infos))
  try:
    with urllib.request.urlopen(
      urllib.request.Request(url, method="HEAD"), timeout=30
    ):
      pass
  except OSError as error:
    raise DataError(
      f"Cannot download data set {builder.name!r} from {url} ({error}): put"
      f" {', '.join(builder.SOURCE_FILES)} into one folder and pass that"
      " as --manual_dir."
    ) from error
