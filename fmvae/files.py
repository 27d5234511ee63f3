"""Files that are either whole or not there."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary path beside `path` that takes its place on success."""
  temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text file whole."""
  with replacing(path) as temporary:
    temporary.write_text(text)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file whole."""
  write_text(path, json.dumps(value, indent=2) + "\n")
