"""Files of pictures, read by Pillow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fmvae.data.archives import DataError, one_line
from fmvae.data.pixels import Fit

SUFFIXES = (".png", ".jpg", ".jpeg")
GREY = ("1", "L", "LA")  # modes of Pillow
_MODES = (*GREY, "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_TURNED = (5, 6, 7, 8)  # orientations of Exif that swap the sides
_ORIENTATION = 274


def read_pictures(
  folder: Path, shape: tuple[int, ...], fit: Fit
) -> tuple[np.ndarray, list[str]]:
  """The PNG and JPEG files of a folder and those below it, by their names.

  Args:
    folder: to look in.
    shape: `(H, W, C)` of the result, C = 1 or 3; colour becomes grey, or grey
      colour.
    fit: how they are cut and resized.

  Returns:
    uint8 `[N, H, W, C]` and the names, relative to the folder.

  Raises:
    DataError: there are none, or one cannot be read or has another size.
  """
  height, width, channels = shape
  try:
    names = files_below(folder, SUFFIXES)
  except OSError as error:
    raise DataError(f"The folder {folder} cannot be read ({error}).") from error
  check_any(folder, names)
  out = np.empty((len(names), *shape), np.uint8)
  for place, name in enumerate(
    tqdm(names, "Reading pictures", delay=5, leave=False, disable=None)
  ):
    path = folder / name
    header(path)
    image = fit(read(path, channels))
    if image.shape[:2] != (height, width):
      raise DataError(
        f"{path} must have {height} x {width} pixels (height x width), as the "
        f"run's images, got {image.shape[0]} x {image.shape[1]}."
      )
    out[place] = image
  return out, names


def files_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
  """The files of a folder and below it, relative to it, but hidden ones."""
  return sorted(
    file.relative_to(folder).as_posix()
    for file in folder.rglob("*")
    if file.suffix.lower() in suffixes
    and file.is_file()
    and not any(p.startswith(".") for p in file.relative_to(folder).parts)
  )


def check_any(folder: Path, names: Sequence[str]) -> None:
  """Raises DataError where there are no pictures."""
  if not names:
    raise DataError(
      f"The folder {folder} must hold pictures ({', '.join(SUFFIXES)}), "
      "directly or in sub-folders, got none."
    )


def header(path: Path) -> tuple[int, int, str]:
  """Height, width and mode of Pillow of a picture; DataError: none."""
  from PIL import Image

  try:
    with Image.open(path) as picture:
      width, height = picture.size
      mode = picture.mode
      turned = picture.getexif().get(_ORIENTATION) in _TURNED
  except Exception as error:  # of any kind, from any damage
    raise _unreadable(path, error) from error
  if mode not in _MODES:
    raise DataError(
      f"{path} must have 8 bits a channel, got a picture of mode {mode}: "
      "convert it, or take it out of the folder."
    )
  return (width, height, mode) if turned else (height, width, mode)


def read(path: Path, channels: int) -> np.ndarray:
  """A picture of one or three channels, uint8 `[H, W, C]`; DataError: none.

  What is transparent is white.
  """
  from PIL import Image, ImageOps

  try:
    with Image.open(path) as opened:
      picture = ImageOps.exif_transpose(opened)
      if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
      array = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
  except Exception as error:  # of any kind, from any damage
    raise _unreadable(path, error) from error
  return array.reshape(*array.shape[:2], channels)


def _unreadable(path: Path, error: Exception) -> DataError:
  return DataError(
    f"{path} cannot be read as a picture ({one_line(error)}): replace it, or "
    "take it out of the folder."
  )
