"""The catalogue's `omniglot`, prepared without TensorFlow."""

import io
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fmvae.data.archives import DataError, open_zip, read_member
from fmvae.data.builders import Described
from fmvae.data.pixels import decode, resize_area

_URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
_MEMBER = re.compile(
  r"(?P<root>[^/]+)/(?P<alphabet>[^/]+)/character(?P<character>\d+)"
  r"/(?P<file>(?P<label>\d+)_\d+\.png)"
)


class Omniglot(  # type: ignore[call-arg]
  Described, tfds.image_classification.Omniglot, skip_registration=True
):
  """Omniglot with the name, version, features and splits of TFDS.

  Images are read straight from the zip files and stored as they are; nothing
  is extracted, so a path inside an archive cannot reach any other folder.

  A downloaded file must have the SHA-256 that TFDS lists. A file put in place
  by hand is judged by its content instead, because packing the same pictures
  again, as mirrors and archives do, changes the checksum: it must hold the
  official folder layout and the official number of pictures, and each
  picture must agree with the CRC-32 that the zip file stores. A picture
  replaced on purpose would pass.
  """

  SPLITS = ("train", "test", "small1", "small2")
  SOURCE_FILES = (
    "images_background.zip",
    "images_evaluation.zip",
    "images_background_small1.zip",
    "images_background_small2.zip",
  )
  NUM_IMAGES: ClassVar = {  # that the file of each split must hold
    "train": 19_280,
    "test": 13_180,
    "small1": 2_720,
    "small2": 3_120,
  }
  DOWNLOADED = True
  MAY_BE_SHOWN = True  # MIT
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "Optional, where there is no network: "
    f"{', '.join(SOURCE_FILES)}"
    f" from {_URL}."
  )
  url_infos = tfds.image_classification.Omniglot.url_infos

  @staticmethod
  def to_array(image: np.ndarray) -> np.ndarray:
    """Bright ink at 28x28, as in MNIST."""
    return omniglot_28(image)

  def _split_generators(self, dl_manager):
    try:
      folder = Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS says that there is no such folder
      folder = None
    paths, members = {}, {}
    for split, name in zip(self.SPLITS, self.SOURCE_FILES, strict=True):
      if folder is not None and (folder / name).exists():
        paths[split] = folder / name
      else:
        paths[split] = dl_manager.download(_URL + name)
      members[split] = _find_members(paths[split], name, self.NUM_IMAGES[split])
    found = [match for matches in members.values() for match in matches]
    names = {int(m["label"]) - 1: _character_name(m) for m in found}
    self.info.features["alphabet"].names = sorted(
      {m["alphabet"] for m in found}
    )
    self.info.features["label"].names = [names[k] for k in sorted(names)]
    return {
      split: self._generate_examples(paths[split], members[split])
      for split in self.SPLITS
    }

  def _generate_examples(self, path, members):
    with open_zip(path) as archive:
      for match in members:
        png = read_member(archive, match.string)
        image = decode(png)
        if image is None or image.shape != (105, 105, 3):
          raise DataError(
            f"{match.string} in {path} is no PNG picture of 105x105 pixels;"
            " replace it by the official file."
          )
        yield (
          _key(match),
          {
            "image": io.BytesIO(png),
            "alphabet": match["alphabet"],
            "alphabet_char_id": int(match["character"]) - 1,
            "label": int(match["label"]) - 1,
          },
        )


def _character_name(match: re.Match[str]) -> str:
  return f"{match['alphabet']}_{int(match['character']) - 1}"


def _key(match: re.Match[str]) -> str:
  return f"{_character_name(match)}_{match['file']}"


def _find_members(
  path: Path, name: str, num_images: int
) -> list[re.Match[str]]:
  """Finds the pictures in one zip file and checks layout and number."""
  root = Path(name).stem
  with open_zip(path) as archive:
    files = [m for m in archive.namelist() if not m.endswith("/")]
  matches = [
    match
    for file in sorted(files)
    if (match := _MEMBER.fullmatch(file)) and match["root"] == root
  ]
  seen: set[str] = set()
  for match in matches:
    if _key(match) in seen:
      raise DataError(
        f"{path} holds {match.string} twice; replace it by the official {name}."
      )
    seen.add(_key(match))
  if len(matches) != num_images:
    raise DataError(
      f"{path} holds {len(matches)} pictures named"
      f" {root}/<alphabet>/character<nn>/<nnnn>_<nn>.png, but omniglot has"
      f" {num_images} there; replace it by the official {name}."
    )
  return matches


def omniglot_28(image: np.ndarray) -> np.ndarray:
  """Makes an Omniglot drawing look like an MNIST digit.

  Args:
    image: uint8 [105, 105] or [105, 105, C], black ink (0) on white (255).

  Returns:
    uint8 [28, 28, 1], bright ink on black, grey where a pixel covers an edge.
  """
  grey = image if image.ndim == 2 else image[..., 0]
  return resize_area(255 - grey[..., None], 28)
