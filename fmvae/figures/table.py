"""Reads a tidy table of results: a row for each run, K and seed."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PARTS = ("bound", "reconstruction", "kl_z", "kl_r")  # of eq. 11, in nats
_SETTING = ("dataset", "split", "binarisation", "network")
_STEPS = ("pretrain_steps", "prior_steps", "joint_steps")

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Curve:
  """One part of the bound over K, for the K that have a value."""

  k: np.ndarray  # [n], ascending
  mean: np.ndarray  # [n], over seeds
  least: np.ndarray  # [n]
  largest: np.ndarray  # [n]
  seeds: np.ndarray  # [n], how many


@dataclasses.dataclass(frozen=True)
class Run:
  """What the rows of one run say."""

  dataset: str
  split: str
  binarisation: str
  network: str
  steps: tuple[int, ...]  # of each phase
  seeds: int
  curves: dict[str, Curve]  # by part
  without_mixture: float | None  # bound of the N(0, I) prior, mean over seeds


def read_runs(rows: Sequence[Row]) -> list[Run]:
  """The runs of a table, in its order.

  Args:
    rows: numbers or strings, as `csv.DictReader` gives them. A part may be
      empty, where it is not known yet, and K, which stands for the N(0, I)
      prior after pre-training alone.

  Raises:
    ValueError: no rows, a missing key, a value that is not a number, a result
      that is there twice, or a run whose rows differ in their setting.
  """
  if not rows:
    raise ValueError("rows must hold at least one result, got none")
  by_run: dict[str, list[Row]] = {}
  for row in rows:
    by_run.setdefault(_text(row, "run"), []).append(row)
  return [_read_run(run, of_run) for run, of_run in by_run.items()]


def _read_run(run: str, rows: list[Row]) -> Run:
  seen: set[tuple[str, str]] = set()
  for row in rows:
    result = (_text(row, "K"), _text(row, "seed"))
    if result in seen:
      raise ValueError(
        f"rows of run {run!r} hold K = {result[0]!r}, seed {result[1]} twice"
      )
    seen.add(result)
  mixtures = [row for row in rows if _text(row, "K")]
  plain = [row for row in rows if not _text(row, "K")]
  trained = mixtures or plain
  bounds = [_number(row, "bound") for row in plain if _text(row, "bound")]
  dataset, split, binarisation, network = (
    _shared(rows, run, name) for name in _SETTING
  )
  return Run(
    dataset=dataset,
    split=split,
    binarisation=binarisation,
    network=network,
    steps=tuple(
      _whole({name: _shared(trained, run, name)}, name, 0) for name in _STEPS
    ),
    seeds=len({_text(row, "seed") for row in trained}),
    curves={part: _read_curve(mixtures, part) for part in PARTS},
    without_mixture=float(np.mean(bounds)) if bounds else None,
  )


def _read_curve(rows: list[Row], part: str) -> Curve:
  values: dict[int, list[float]] = {}
  for row in rows:
    k = _whole(row, "K", 1)
    if _text(row, part):
      values.setdefault(k, []).append(_number(row, part))
  ks = sorted(values)
  statistics = (
    np.array([of(values[k]) for k in ks]) for of in (np.mean, min, max, len)
  )
  return Curve(np.array(ks), *statistics)


def _shared(rows: list[Row], run: str, name: str) -> str:
  """The value that all rows of a run share."""
  values = {_text(row, name) for row in rows}
  if len(values) > 1:
    raise ValueError(
      f"rows of run {run!r} must share one {name}, got {sorted(values)}"
    )
  return values.pop()


def _text(row: Row, name: str) -> str:
  """A value as text, '' where there is none."""
  if name not in row:
    raise ValueError(f"rows must have the key {name!r}, got {list(row)}")
  text = "" if row[name] is None else str(row[name]).strip()
  return "" if text.lower() == "nan" else text


def _number(row: Row, name: str) -> float:
  text = _text(row, name)
  try:
    number = float(text)
  except ValueError:
    number = math.nan
  if not math.isfinite(number):
    raise ValueError(f"{name} must be a number, got {text!r}")
  return number


def _whole(row: Row, name: str, least: int) -> int:
  number = _number(row, name)
  if number < least or not number.is_integer():
    raise ValueError(
      f"{name} must be a whole number of at least {least}, got {number}"
    )
  return int(number)
