"""Files that are either whole or not there."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary path beside `path` that takes its place on success.

  It is there already, and held: `clear_partial` leaves it alone.
  """
  name = f".{path.stem}.{os.getpid()}.partial{path.suffix}"
  temporary = path.with_name(name)
  with temporary.open("wb") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX)
      yield temporary
      os.replace(temporary, path)
    finally:
      temporary.unlink(missing_ok=True)


def clear_partial(folder: pathlib.Path) -> None:
  """Removes what processes that were killed have left half written."""
  for path in folder.glob(".*.partial*"):
    with contextlib.suppress(OSError), path.open("rb") as file:
      if time.time() - path.stat().st_mtime > 1:  # it is held by now, if at all
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text file whole."""
  with replacing(path) as temporary:
    temporary.write_text(text)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file whole."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """The fields of a JSON file.

  Raises:
    OSError: it cannot be read.
    ValueError: it holds something else.
  """
  try:
    fields = json.loads(path.read_text())
  except RecursionError as error:
    raise ValueError("it is nested too deeply") from error
  if not isinstance(fields, dict):
    raise ValueError("it holds no fields")
  return fields


class StorageError(Exception):
  """A folder does not take what is to be kept."""


def refusal(error: BaseException) -> str | None:
  """What the system says of a file, such as 'No space left on device'.

  None for an error that is not about files. Orbax and TensorStore carry the
  number of the system's error in their own text.
  """
  if isinstance(error, OSError) and error.errno is not None:
    return os.strerror(error.errno)
  found = re.search(r"os_error_code='(\d+)'", str(error))
  return os.strerror(int(found[1])) if found else None


@contextlib.contextmanager
def storing(folder: pathlib.Path, advice: str) -> Iterator[None]:
  """Names the folder, and what to do, where a file in it cannot be written.

  Raises:
    StorageError: in place of an OSError.
  """
  try:
    yield
  except OSError as error:
    raise unwritable(folder, refusal(error) or str(error), advice) from error


def unwritable(folder: pathlib.Path, why: str, advice: str) -> StorageError:
  """The sentence about a folder that does not take what is to be kept."""
  return StorageError(f"workdir {folder} cannot be written ({why}). {advice}")


class InUseError(ValueError):
  """A folder is held by another process."""


@contextlib.contextmanager
def locked(folder: pathlib.Path, waiting: str = "") -> Iterator[None]:
  """Holds a folder; the system lets go of it however this process ends.

  Args:
    folder: which is there.
    waiting: what to say before waiting for another process that holds it.

  Raises:
    InUseError: another process holds it, and there is nothing to say.
  """
  # Not through a link, whose target is somebody else's.
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
  with open(os.open(folder / ".lock", flags, 0o666), "rb+") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      if not waiting:
        raise InUseError(f"another run is at work in {folder}") from None
      print(waiting, file=sys.stderr, flush=True)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def is_locked(folder: pathlib.Path) -> bool:
  """Whether a process holds a folder."""
  try:
    with locked(folder):
      return False
  except InUseError:
    return True
