"""CelebA, cropped to the face and stored at 64x64, as a TFDS builder."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder

from fmvae.data.archives import DataError, open_zip, read_lines, read_member
from fmvae.data.builders import Described, Features, ValueNames
from fmvae.data.pixels import decode, encode_png, resize_area

_NUM_OFFICIAL = 202_599


class CelebA(  # type: ignore[call-arg]
  Described, tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """CelebA under the catalogue's name, with `image` and `attributes`.

  It differs from the catalogue's data set, so it is a configuration of its
  own and lives in its own folder:

  - each picture is the centre square of 148 pixels, area-resized to 64x64 and
    stored without loss;
  - `attributes` is one vector of 40 booleans in the order of `ATTRIBUTES`, not
    40 named features, which more than halves the time to read;
  - `landmarks` and `identity` are left out, because nothing here reads them;
  - the source files come from `manual_dir` alone, as the hosts of CelebA do
    not serve programs, and no checksum is asked of them: a part of the set
    works, and a warning says how many pictures there are.

  CelebA is for non-commercial research and may not be redistributed.
  """

  name = "celeb_a"
  SPLITS = ("train", "validation", "test")  # 0, 1, 2 in the partition file
  MAY_BE_SHOWN = False
  SOURCE_FILES = (
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
  )
  ATTRIBUTES: tuple[str, ...] = tuple(celeb_a_dataset_builder.ATTR_HEADINGS)
  # The names of 0 and 1 where 'not X' and 'X' would read badly.
  _NAMED: ClassVar[ValueNames] = {
    "Male": ("female", "male"),
    "Eyeglasses": ("no glasses", "glasses"),
    "Smiling": ("not smiling", "smiling"),
  }
  VALUES: ClassVar[ValueNames] = {
    name: (f"not {name}".replace("_", " "), name.replace("_", " "))
    for name in ATTRIBUTES
  } | _NAMED
  VERSION = celeb_a_dataset_builder.Builder.VERSION
  BUILDER_CONFIGS = [  # noqa: RUF012 - TFDS wants a list
    tfds.core.BuilderConfig(
      name="crop148_64x64",
      version=VERSION,
      description="The centre square of 148 pixels, area-resized to 64x64.",
    )
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Put {', '.join(SOURCE_FILES)} from"
    " http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into one folder."
  )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description="CelebA faces of 64x64 pixels with 40 binary attributes.",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(
            shape=(64, 64, 3), encoding_format="png"
          ),
          "attributes": tfds.features.Tensor(shape=(40,), dtype=np.bool_),
        }
      ),
      homepage="http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    )

  def describe_features(self, arrays: Features) -> tuple[Features, ValueNames]:
    """A feature for each attribute."""
    columns = np.ascontiguousarray(arrays["attributes"].T)
    return dict(zip(self.ATTRIBUTES, columns, strict=True)), self.VALUES

  def _split_generators(self, dl_manager):
    pictures, attr_file, partition_file = (
      Path(dl_manager.manual_dir) / name for name in self.SOURCE_FILES
    )
    attributes = _read_attributes(attr_file)
    partition = _read_partition(partition_file)
    with open_zip(pictures) as archive:
      members = {
        Path(member).name: member
        for member in archive.namelist()
        if member.endswith(".jpg")
      }
    usable = sorted(members.keys() & attributes.keys() & partition.keys())
    if not usable:
      raise DataError(
        f"{pictures} holds no picture that {attr_file.name} and"
        f" {partition_file.name} list; put the official files in"
        f" {pictures.parent}."
      )
    if len(usable) < _NUM_OFFICIAL:
      logging.warning(
        "celeb_a: %d of the official %d pictures; %d in %s are in no list.",
        len(usable),
        _NUM_OFFICIAL,
        len(members) - len(usable),
        pictures,
      )
    chosen = {
      split: [file for file in usable if partition[file] == number]
      for number, split in enumerate(self.SPLITS)
    }
    return {
      split: self._generate_examples(pictures, members, attributes, files)
      for split, files in chosen.items()
      if files
    }

  def _generate_examples(self, pictures, members, attributes, files):
    with open_zip(pictures) as archive:
      for file in files:
        jpeg = read_member(archive, members[file])
        try:
          image = encode_png(celeb_a_64(jpeg))
        except ValueError as error:
          raise DataError(
            f"{members[file]} in {pictures} is no aligned CelebA picture"
            f" ({error}); replace it by the official file."
          ) from error
        yield (
          file,
          {
            "image": image,
            "attributes": attributes[file],
          },
        )


def _read_attributes(path: Path) -> dict[str, np.ndarray]:
  """Reads a count, a header of 40 names, then -1 or 1 for each."""
  lines = read_lines(path)
  if len(lines) < 2 or tuple(lines[1].split()) != CelebA.ATTRIBUTES:
    raise DataError(
      f"{path} does not name the 40 CelebA attributes in its second line;"
      " replace it by the official file."
    )
  rows = [line.split() for line in lines[2:]]
  for row in rows:
    if len(row) != 1 + len(CelebA.ATTRIBUTES) or not set(row[1:]) <= {
      "-1",
      "1",
    }:
      raise DataError(
        f"{path} must hold a file name and 40 times -1 or 1 in each line,"
        f" got {' '.join(row[:3])!r} and so on; replace it by the"
        " official file."
      )
  return {row[0]: np.array(row[1:]) == "1" for row in rows}


def _read_partition(path: Path) -> dict[str, int]:
  """Reads one file name and one of 0, 1, 2 a line."""
  rows = [line.split() for line in read_lines(path)]
  for row in rows:
    if len(row) != 2 or row[1] not in ("0", "1", "2"):
      raise DataError(
        f"{path} must hold a file name and 0, 1 or 2 in each line, got"
        f" {' '.join(row)!r}; replace it by the official file."
      )
  return {file: int(number) for file, number in rows}


def celeb_a_64(jpeg: bytes) -> np.ndarray:
  """Decodes an aligned CelebA picture, crops and shrinks it.

  Args:
    jpeg: an encoded picture of 178x218 pixels.

  Returns:
    uint8 [64, 64, 3], RGB: the centre square of 148 pixels, area-resized.

  Raises:
    ValueError: if the picture cannot be decoded or has another size.
  """
  bgr = decode(jpeg)
  if bgr is None:
    raise ValueError("it must be a JPEG picture, got other bytes")
  if bgr.shape != (218, 178, 3):
    raise ValueError(f"its shape must be (218, 178, 3), got {bgr.shape}")
  return resize_area(bgr[35:183, 15:163, ::-1], 64)
