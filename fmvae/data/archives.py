"""Zip files of original data, and the error for bad input.

`DataError` is what every part of `fmvae.data` raises for something that the
user can put right: one sentence that names the data set, file or folder and
says what to do.
"""

import gzip
import zipfile
import zlib
from pathlib import Path


class DataError(ValueError):
  """Bad input to `fmvae.data` that the user can put right."""


def one_line(error: Exception) -> str:
  """What an error of a library says, on one line."""
  return " ".join(str(error).split())


def open_zip(path: str | Path) -> zipfile.ZipFile:
  """Opens a zip file for reading members in place, without extraction.

  Raises:
    DataError: if `path` is not a zip file.
  """
  try:
    return zipfile.ZipFile(path)
  except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
    raise DataError(
      f"{path} is not a readable zip file ({error}); get this file again."
    ) from error


def read_member(archive: zipfile.ZipFile, member: str) -> bytes:
  """Returns the bytes of one member, its CRC-32 checked.

  Raises:
    DataError: if the member is damaged, encrypted or packed by an unknown
      method.
  """
  try:
    return archive.read(member)
  except (zipfile.BadZipFile, zlib.error, EOFError) as error:
    raise DataError(
      f"{archive.filename} is damaged at {member} ({error}); get this file"
      " again."
    ) from error
  except RuntimeError as error:  # encrypted, or a method that is not known
    raise DataError(
      f"{archive.filename} cannot be read at {member} ({error}); replace it by"
      " the official file."
    ) from error


def read_gzip(path: str | Path) -> bytes:
  """Returns what a gzip file holds, its CRC-32 checked.

  Raises:
    DataError: if it is damaged.
  """
  try:
    with gzip.open(path) as file:
      return file.read()
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    raise DataError(
      f"{path} is damaged ({error}); delete it, or replace it by the original"
      " file."
    ) from error


def read_lines(path: Path) -> list[str]:
  """Returns the lines of a text file.

  Raises:
    DataError: if it is not UTF-8.
  """
  try:
    return path.read_text(encoding="utf-8").splitlines()
  except UnicodeDecodeError as error:
    raise DataError(
      f"{path} is no text in UTF-8 ({error}); replace it by the official file."
    ) from error
