"""`load`: a data set by name, prepared by TFDS and read into one array."""

import importlib
import importlib.util
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from fmvae.data.archives import DataError, one_line
from fmvae.data.arrays import fitted, hold_out, read_npz
from fmvae.data.builders import Described, Features, ValueNames
from fmvae.data.imagesets import ImageSet, read
from fmvae.data.pixels import Fit
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
# Of the catalogue, with builders of ours, since its own need TensorFlow.
_PREPARED_HERE = {
  "fashion_mnist": "mnist.FashionMNIST",
  "kmnist": "mnist.KMNIST",
}


def load(
  name: str | type[Described],
  split: str,
  *,
  data_dir: str | Path | None = None,
  manual_dir: str | Path | None = None,
  in_memory: bool = True,
  fit: Fit | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
) -> ImageSet:
  """Loads one split, preparing the data set first where that is needed.

  The order of the images is the one in which TFDS stores them: shuffled, and
  the same on every machine.

  Args:
    name: one of `DATASETS`, perhaps with a variant after a slash (`Shapes`);
      the path of a folder of pictures (`Pictures`) or of an .npz file
      (`read_npz`); an image data set of the TFDS catalogue; or a builder of
      one's own.
    split: `train` or `test`, or another one that the data set has.
    data_dir: where prepared data sets are kept, TFDS's own default if None:
      the environment variable `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
    manual_dir: a folder with the original source files, directly or in a
      folder with the data set's name. If None, those that a program can
      download are downloaded when they have to be prepared.
    in_memory: False leaves the images on disk (`Records`) and reads the
      features.
    fit: how pictures are cut, coloured and resized; None leaves them.
    test_fraction: what part of the images is the `test` split of a data set
      that has none of its own.
    split_seed: of that split.

  Returns:
    The split.

  Raises:
    DataError: for anything that the user can put right: an unknown name or
      split, missing, damaged or wrong source files, a folder that cannot be
      written, a prepared copy that is not complete.
  """
  if name == ARRAYS:
    raise DataError(
      "The images of this run were arrays of another program, which are not "
      "kept: fmvae.load works without them."
    )
  fit = fit or Fit()
  path = _path_of(name)
  if path is not None and not path.is_dir():
    splits = _of_file(path, fit)
    own = tuple(splits)
    found = splits[_stored_split(split, own, str(path))]
  else:
    builder = _builder(name, path, split, data_dir, manual_dir, fit)
    builder.fit = Fit() if path else fit  # a folder's was done for good
    own = builder.SPLITS
    wanted = _stored_split(split, own, builder.name)
    found = read(builder, wanted, in_memory)
  if "test" in own or split not in ("train", "test"):
    return found
  train, test = hold_out(found, test_fraction, split_seed)
  return train if split == "train" else test


def _stored_split(split: str, stored: tuple[str, ...], name: str) -> str:
  """The split that has the images of `split`: `train` where there is no test.

  Raises:
    DataError: there is none.
  """
  if split == "test" and "test" not in stored:
    split = "train"
  if split not in stored:
    raise DataError(
      f"The split of data set {name!r} must be one of {', '.join(stored)}, got"
      f" {split!r}."
    )
  return split


def _path_of(name: str | type[Described]) -> Path | None:
  """The path that a name is, if it is one.

  Raises:
    DataError: it looks like one and is not there.
  """
  if not isinstance(name, str) or name.partition("/")[0] in _BUILDERS:
    return None
  path = Path(name).expanduser()
  if path.exists():
    return path
  separated = any(sign in name for sign in "/\\")
  if path.suffix == ".npz" or (separated and not _in_catalogue(name)):
    raise DataError(f"The data set {name!r} is no file or folder that exists.")
  return None


def _in_catalogue(name: str) -> bool:
  import tensorflow_datasets as tfds

  known = tfds.list_builders(with_community_datasets=False)
  return name.partition("/")[0] in known


def _of_file(path: Path, fit: Fit) -> dict[str, ImageSet]:
  """The splits of an .npz file."""
  if path.suffix != ".npz":
    raise DataError(
      f"The data set {str(path)!r} must be a folder of pictures or an .npz"
      " file."
    )
  found = [part for part in read_npz(path) if part is not None]
  found = [fitted(part, fit) for part in found]
  return {part.split: part for part in found}


def _builder(
  name: str | type[Described],
  path: Path | None,
  split: str,
  data_dir: str | Path | None,
  manual_dir: str | Path | None,
  fit: Fit,
) -> Any:
  """The builder of a data set that is prepared by now."""
  if path is not None:
    return _of_folder(path, data_dir, fit)
  variant = ""
  if isinstance(name, str):
    known, _, variant = name.partition("/")
    if known not in _BUILDERS | _PREPARED_HERE:
      return _of_catalogue(name, data_dir, manual_dir, fit)
    name = known
  described = _described(name)
  if variant:
    described.check_variant(variant)
  _stored_split(split, described.SPLITS, described.name)
  builder = _open(described, data_dir, variant)
  if not builder.data_path.exists():
    _prepare(builder, _source_folder(described, manual_dir))
    builder = _open(described, data_dir, variant)
  return builder


class _Copy(Described):
  """A prepared copy, read without the code that made it."""

  def __init__(self, builder: Any, name: str):
    self.name, self.info = name, builder.info
    self.data_path = builder.data_path
    self.is_prepared = builder.is_prepared
    self.as_data_source = builder.as_data_source
    self.SPLITS = tuple(builder.info.splits)

  def stored(self) -> tuple[str, ...]:
    """The image, and what has few values."""
    import tensorflow_datasets as tfds

    return tuple(
      name
      for name, feature in self.info.features.items()
      if name == "image"
      or isinstance(feature, tfds.features.ClassLabel)
      or (feature.shape == () and feature.np_dtype == np.bool_)
    )

  def describe_features(self, arrays: Features) -> tuple[Features, ValueNames]:
    """Without the names that TFDS makes of numbers, '0', '1' and so on."""
    features, named = super().describe_features(arrays)
    return features, {
      feature: names
      for feature, names in named.items()
      if names != tuple(map(str, range(len(names))))
    }


def _of_folder(path: Path, data_dir: str | Path | None, fit: Fit) -> _Copy:
  import tensorflow_datasets as tfds

  from fmvae.data.folder import Pictures, builder_of, look_into

  folder = look_into(path, fit)
  root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
  prepared = root / Pictures.name / folder.name / str(Pictures.VERSION)
  if not prepared.exists():
    _prepare(builder_of(folder, root), None)
  return _Copy(_reopened(prepared, str(path)), str(path))


def _reopened(folder: Path, name: str) -> Any:
  import tensorflow_datasets as tfds

  try:
    return tfds.builder_from_directory(folder)
  except Exception as error:  # of any kind, from any damage
    raise _damaged(name, folder, error) from error


def _of_catalogue(
  name: str,
  data_dir: str | Path | None,
  manual_dir: str | Path | None,
  fit: Fit,
) -> _Copy:
  """A data set of the TFDS catalogue."""
  import tensorflow_datasets as tfds

  if not _in_catalogue(name):
    raise DataError(
      f"The data set must be one of {', '.join(DATASETS)}, an image data set"
      " of the TFDS catalogue, a folder of pictures or an .npz file, got"
      f" {name!r}."
    )
  folder = None if data_dir is None else Path(data_dir).expanduser()
  try:
    builder = tfds.builder(name, data_dir=folder)
  except Exception as error:  # of any kind, such as an unknown configuration
    why = one_line(error)[:200]
    raise DataError(
      f"Data set {name!r} of the TFDS catalogue cannot be opened ({why})."
    ) from error
  image = dict(builder.info.features).get("image")
  if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
    raise DataError(
      f"Data set {name!r} of the TFDS catalogue must have a feature 'image' of"
      f" 8 bits a channel, got {', '.join(builder.info.features)}."
    )
  if None in image.shape[:2] and fit.size is None:
    raise DataError(
      f"The pictures of data set {name!r} have different sizes: set"
      " config.dataset.size, such as 64, and config.dataset.crop to 'centre' to"
      " keep their proportions."
    )
  if not builder.data_path.exists():
    _prepare_by_catalogue(builder, name, manual_dir)
  return _Copy(_reopened(Path(builder.data_path), name), name)


def _prepare_by_catalogue(
  builder: Any, name: str, manual_dir: str | Path | None
) -> None:
  """Prepares a data set by the catalogue's own code, which needs TensorFlow."""
  root = Path(builder.data_dir_root)
  if importlib.util.find_spec("tensorflow") is None:
    raise DataError(
      f"Data set {name!r} is not prepared in {root}, and the catalogue needs"
      " TensorFlow for that (not for reading): install tensorflow and run this"
      " again, or, in an environment that has it, `tfds build"
      f" {name} --file_format=array_record --data_dir={root}`."
    )
  builder.SOURCE_FILES = ()
  folder = None if manual_dir is None else Path(manual_dir).expanduser()
  try:
    _prepare(builder, folder)
  except DataError:
    raise
  except Exception as error:  # of any kind, from code that is not ours
    why = one_line(error)[:300]
    raise DataError(
      f"Cannot prepare data set {name!r} in {root} by the TFDS catalogue:"
      f" {type(error).__name__}: {why}."
    ) from error


def may_be_shown(name: str) -> bool | None:
  """Whether a data set's licence lets its pictures be passed on.

  None where nobody here knows: your own, and most of the TFDS catalogue.
  """
  if name not in _BUILDERS | _PREPARED_HERE:
    return None
  allowed: bool | None = _described(name).MAY_BE_SHOWN
  return allowed


def _described(name: str | type[Described]) -> Any:
  """The class of the builder."""
  if not isinstance(name, str):
    return name
  module, _, class_name = (_BUILDERS | _PREPARED_HERE)[name].partition(".")
  return getattr(importlib.import_module(f"fmvae.data.{module}"), class_name)


def _open(described: Any, data_dir: str | Path | None, variant: str) -> Any:
  """Makes the builder of one data set, from its prepared copy if any."""
  from google.protobuf import json_format

  folder = None if data_dir is None else Path(data_dir).expanduser()
  try:
    return described(data_dir=folder, config=variant or None)
  except (
    json_format.ParseError,
    AssertionError,  # another version
    ValueError,
  ) as error:
    where = folder or "the default data_dir"
    raise _damaged(described.name, where, error) from error


def _damaged(name: str, where: Path | str, error: Exception) -> DataError:
  return DataError(
    f"The prepared copy of data set {name!r} in {where} cannot be read"
    f" ({one_line(error)}): move it away and load again, or pass another"
    " --data_dir."
  )


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
      _remove_incomplete(folder)  # by one that was killed
      try:
        builder.download_and_prepare(
          download_config=tfds.download.DownloadConfig(
            manual_dir=source_folder, try_download_gcs=False
          ),
          file_format="array_record",
        )
      finally:  # TFDS misses a signal just after it has made the folder
        _remove_incomplete(folder)
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


def _remove_incomplete(folder: Path) -> None:
  for left in folder.glob("incomplete.*"):
    shutil.rmtree(left, ignore_errors=True)


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
