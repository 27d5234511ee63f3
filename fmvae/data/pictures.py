"""Files of pictures."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from fmvae.data.archives import DataError
from fmvae.data.pixels import decode

_ENDINGS = (".png", ".jpg", ".jpeg")


def read_pictures(
  folder: Path, shape: tuple[int, ...]
) -> tuple[np.ndarray, list[str]]:
  """The PNG and JPEG files of a folder and those below it, by their names.

  Args:
    folder: to look in.
    shape: `(H, W, C)` of the result; colour becomes grey, or grey colour.

  Returns:
    uint8 `[N, H, W, C]` and the names, relative to the folder.

  Raises:
    DataError: there are none, or one cannot be read or has another size.
  """
  height, width, channels = shape
  paths = sorted(
    path
    for path in folder.rglob("*")
    if path.suffix.lower() in _ENDINGS and path.is_file()
  )
  if not paths:
    raise DataError(
      f"Folder {folder} holds no picture ({', '.join(_ENDINGS)})."
    )
  out = np.empty((len(paths), *shape), np.uint8)
  for place, path in enumerate(
    tqdm(paths, "Reading pictures", delay=5, leave=False, disable=None)
  ):
    found = decode(path.read_bytes())
    if found is None:
      raise DataError(f"{path} is no PNG or JPEG file, or a damaged one.")
    if found.shape[:2] != (height, width):
      raise DataError(
        f"{path} must have {height} x {width} pixels (height x width), as the "
        f"run's images, got {found.shape[0]} x {found.shape[1]}."
      )
    rgb = found[..., ::-1]
    out[place] = rgb if channels == 3 else _grey(rgb)
  return out, [path.relative_to(folder).as_posix() for path in paths]


def _grey(rgb: np.ndarray) -> np.ndarray:
  """The channels' luminance (ITU-R 601), which leaves grey as it is."""
  weighted = rgb @ np.array([0.299, 0.587, 0.114])
  return np.rint(weighted).astype(np.uint8)[..., None]
