"""Reads the files of results and sets them as tables of Markdown."""

import csv
import json
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "experiments/results"

Row = dict[str, str]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A table of Markdown."""
  lines = [head, ["---"] * len(head), *rows]
  return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def rows_of(name: str) -> list[Row]:
  """The rows of a file of CSV."""
  with (RESULTS / name).open(newline="") as file:
    return list(csv.DictReader(file))


def values_of(name: str) -> dict[str, Any]:
  """What a file of JSON holds."""
  return json.loads((RESULTS / name).read_text())


def grouped(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
  """The rows by their value in a column, in the order of the file."""
  out: dict[str, list[Row]] = {}
  for row in rows:
    out.setdefault(row[column], []).append(row)
  return out


def mean(rows: Sequence[Row], column: str, digits: int = 2) -> str:
  """The mean over rows, '' where there is no value."""
  numbers = _numbers(rows, column)
  return f"{statistics.fmean(numbers):.{digits}f}" if numbers else ""


def spread(rows: Sequence[Row], column: str, digits: int = 2) -> str:
  """As in '125 to 126', one number where all are alike, '' without any."""
  numbers = _numbers(rows, column)
  texts = [f"{of(numbers):.{digits}f}" for of in (min, max)] if numbers else []
  return " to ".join(dict.fromkeys(texts))


def percent(share: float) -> str:
  """As in '99.95 %'."""
  return f"{100 * share:.4g} %"


def _numbers(rows: Sequence[Row], column: str) -> list[float]:
  return [float(row[column]) for row in rows if row[column]]
