"""How a comparison is measured: sides in turn, medians and spread."""

import dataclasses
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import numpy as np

Side = Callable[[], object]  # does once what is measured, and waits for it


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

  @property
  def met(self) -> bool | None:
    """Whether the median is what it should be."""
    return None if self.goal is None else float(self) <= self.goal

  def __float__(self) -> float:
    return float(np.median(self.values))

  def markdown(self, name: str) -> str:
    """The line in a table of Markdown, of the comparison of that name."""
    unit = f" {self.unit}" if self.unit else ""
    spread = f"{_text(min(self.values))} to {_text(max(self.values))}"
    goal = "" if self.goal is None else f"at most {self.goal:g}: "
    verdict = {None: "", True: "met", False: "**missed**"}[self.met]
    return (
      f"| `{name}` | {self.what} | {_text(float(self))}{unit} | "
      f"{spread if len(self.values) > 1 else ''} | {goal}{verdict} |"
    )


def _text(x: float) -> str:
  return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


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


def machine(packages: Sequence[str]) -> str:
  """What the figures were measured on: processor, cores, versions, commit."""
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
  return f"{cores} cores of {name}; {', '.join(versions)}; commit {commit}"
