"""How a comparison is measured: sides in turn, medians and spread."""

import csv
import dataclasses
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import numpy as np

from fmvae.storage import replacing

Side = Callable[[], object]  # does once what is measured, and waits for it
Record = dict[str, str]  # a line of benchmarks.csv

COLUMNS = (
  *("comparison", "what", "median", "least", "largest", "unit", "goal"),
  *("turns", "machine", "packages", "commit"),
)
HEAD = (
  "| comparison | | median | least to largest | turns | goal |",
  "|---|---|---|---|---|---|",
)


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of the table.

  Attributes:
    what: it says.
    values: one from each repeat.
    unit: of the values, '' for a ratio.
    goal: the most that the median may be, None where there is no goal.
  """

  what: str
  values: Sequence[float]
  unit: str = ""
  goal: float | None = None

  def record(self, comparison: str, setting: Record) -> Record:
    """The line of a table of CSV, by `COLUMNS`."""
    numbers = {
      "median": np.median(self.values),
      "least": min(self.values),
      "largest": max(self.values),
    }
    return {
      "comparison": comparison,
      "what": self.what,
      **{name: f"{x:.6g}" for name, x in numbers.items()},
      "unit": self.unit,
      "goal": "" if self.goal is None else f"{self.goal:g}",
      "turns": str(len(self.values)),
      **setting,
    }


def line(record: Record) -> str:
  """The line of a table of Markdown that `HEAD` opens."""
  spread = f"{_text(record['least'])} to {_text(record['largest'])}"
  verdict = ""
  if goal := record["goal"]:
    met = float(record["median"]) <= float(goal)
    verdict = f"at most {goal}: {'met' if met else '**missed**'}"
  cells = (
    f"`{record['comparison']}`",
    record["what"],
    shown(record),
    spread if record["turns"] != "1" else "",
    record["turns"],
    verdict,
  )
  return f"| {' | '.join(cells)} |"


def shown(record: Record) -> str:
  """The median with its unit."""
  return f"{_text(record['median'])} {record['unit']}".rstrip()


def _text(number: str) -> str:
  x = float(number)
  return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def read(path: pathlib.Path) -> list[Record]:
  """The records of a table of CSV; none where there is no such file.

  Raises:
    ValueError: a file with other columns.
  """
  if not path.exists():
    return []
  with path.open(newline="") as file:
    rows = csv.DictReader(file)
    if tuple(rows.fieldnames or ()) != COLUMNS:
      raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}")
    return list(rows)


def replace(path: pathlib.Path, records: Sequence[Record]) -> None:
  """Writes `records` in place of what a table has of their comparisons."""
  new = {record["comparison"] for record in records}
  before = read(path)
  place = next(
    (i for i, old in enumerate(before) if old["comparison"] in new), len(before)
  )
  kept = [old for old in before if old["comparison"] not in new]
  with replacing(path) as temporary, temporary.open("w", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept[:place], *records, *kept[place:]])


def in_turn(
  sides: Mapping[str, Side], rounds: int, times: int
) -> dict[str, list[float]]:
  """Times the sides one after the other, A B A B, in milliseconds.

  Args:
    sides: by name.
    rounds: how often each side has its turn, after one that does not count.
    times: runs of a side in a turn, after one that does not count.

  Returns:
    For each side the median run of each of its turns.
  """
  out: dict[str, list[float]] = {name: [] for name in sides}
  for turn in range(rounds + 1):
    for name, side in sides.items():
      side()
      runs = []
      for _ in range(times if turn else 1):
        begin = time.perf_counter()
        side()
        runs.append(1000 * (time.perf_counter() - begin))
      if turn:
        out[name].append(float(np.median(runs)))
  return out


def ratio(a: Sequence[float], b: Sequence[float]) -> list[float]:
  """a / b, turn by turn."""
  return [x / y for x, y in zip(a, b, strict=True)]


def setting(packages: Sequence[str]) -> Record:
  """What the figures were measured on: machine, packages and commit."""
  name = platform.processor() or platform.machine()
  try:
    with open("/proc/cpuinfo") as f:
      models = [line for line in f if line.startswith("model name")]
    name = models[0].partition(":")[2].strip()
  except (OSError, IndexError):
    pass
  versions = [f"Python {platform.python_version()}"]
  for package in packages:
    try:
      versions.append(f"{package} {metadata.version(package)}")
    except metadata.PackageNotFoundError:
      versions.append(f"no {package}")
  commit = subprocess.run(
    ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
  ).stdout.strip()
  cores = len(os.sched_getaffinity(0))
  return {
    "machine": f"{cores} cores of {name}",
    "packages": ", ".join(versions),
    "commit": commit,
  }
