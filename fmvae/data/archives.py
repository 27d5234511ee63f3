"""Zip files of original data, and the error for bad input.

`DataError` is what every part of `fmvae.data` raises for something that the
user can put right: one sentence that names the data set, file or folder and
says what to do.
"""

import zipfile
import zlib
from pathlib import Path


class DataError(ValueError):
  """Bad input to `fmvae.data` that the user can put right."""


def open_zip(path: str | Path) -> zipfile.ZipFile:
  """Opens a zip file for reading members in place, without extraction.

  Raises:
    DataError: if `path` is not a zip file.
  """
  try:
    return zipfile.ZipFile(path)
  except zipfile.BadZipFile as error:
    raise DataError(
      f"{path} is not a readable zip file ({error}); get this file again."
    ) from error


def read_member(archive: zipfile.ZipFile, member: str) -> bytes:
  """Returns the bytes of one member, its CRC-32 checked.

  Raises:
    DataError: if the member is damaged.
  """
  try:
    return archive.read(member)
  except (zipfile.BadZipFile, zlib.error) as error:
    raise DataError(
      f"{archive.filename} is damaged at {member} ({error}); get this file"
      " again."
    ) from error
