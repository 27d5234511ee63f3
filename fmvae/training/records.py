"""What a run writes down beside its checkpoints."""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import reprlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fmvae import fields, prior
from fmvae.evaluation.assigned import by_factor
from fmvae.evaluation.collapse import num_used, perplexity
from fmvae.experiment import DataSpec
from fmvae.model import Property
from fmvae.storage import (
  InUseError,
  clear_partial,
  locked,
  read_json,
  write_json,
  write_text,
)
from fmvae.training.events import Event, EventsWriter, SessionLog, scalar

# What a run from before these fields has, as JSON gives it back.
ADDED = {
  name: json.loads(json.dumps(field.default))
  for name, field in fields.flat()
  if field.added
}
_FILES = (
  "config.json",
  "data.json",
  "metrics.jsonl",
  "results.json",
  "run.json",
  "samples.png",
)
_FOLDERS = ("checkpoints", "tensorboard", "unreadable")
_PACKAGES = (
  "fmvae",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "tensorflow-datasets",
  "numpy",
)
_SHOWN = reprlib.Repr()  # the first numbers of many features
_SHOWN.maxother = 300

Row = dict[str, Any]


def bounds(rows: Sequence[Row]) -> dict[int, float]:
  """The bounds that a run is judged by, by step.

  Those on the validation images, or where there are none on the test set.
  """
  splits = {row["split"] for row in rows}
  judge = "validation" if "validation" in splits else "test"
  return {r["step"]: r["bound"] for r in rows if r["split"] == judge}


def best_step(rows: Sequence[Row]) -> int | None:
  """The first step with the best of `bounds`, if there are any."""
  found = bounds(rows)
  return max(found, key=found.__getitem__, default=None)


def is_exhausted(rows: Sequence[Row], start: int, patience: int) -> bool:
  """Whether so many evaluations after step `start` brought no better bound.

  A function of the rows alone, so that a run that was stopped and continued
  ends where an undisturbed one does.
  """
  best = best_step(rows)
  if not patience or best is None:
    return False
  since = max(best, start)
  return sum(step > since for step in bounds(rows)) >= patience


def usage_scalars(usages: Sequence[prior.Usage]) -> dict[str, float]:
  """Components in use by q(pi), for a row of metrics; none under N(0, I)."""
  if not usages:
    return {}
  shares = tuple(perplexity(np.asarray(u.share)) for u in usages)
  used = by_factor("used", num_used(usages))
  return used | by_factor("perplexity", shares)


def write_start(workdir: pathlib.Path, seed: int, step: int) -> None:
  """Adds a start of the run to run.json: commit, versions and hardware."""
  path = workdir / "run.json"
  starts = []
  if path.exists():
    try:
      starts = list(read_json(path)["starts"])
    except (ValueError, KeyError, TypeError):  # nothing depends on it
      path.replace(path.with_name("run.json.unreadable"))
      logging.warning("%s cannot be read and is set aside.", path)
  starts.append({"step": step, **_describe_start()})
  write_json(path, {"seed": seed, "starts": starts})


def _describe_start() -> dict[str, Any]:
  devices = jax.devices()
  return {
    "commit": _commit(),
    "python": platform.python_version(),
    "packages": packages(),
    "device": devices[0].device_kind,
    "num_devices": len(devices),
    "num_processes": jax.process_count(),
    "cpu_cores": os.cpu_count(),
  }


def packages() -> dict[str, str]:
  """The versions of those on which the numbers of a run depend."""
  return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _commit() -> str:
  """The commit of this package, '-dirty' when its files differ from it."""

  def git(*arguments: str) -> str:
    return subprocess.run(
      ["git", *arguments],
      cwd=pathlib.Path(__file__).parents[1],
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()

  try:
    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
  except (OSError, subprocess.CalledProcessError):
    return "unknown"


def read_config(workdir: pathlib.Path) -> ConfigDict:
  """The resolved config of a run, with defaults for fields added since.

  Raises:
    ValueError: the folder holds no run, or its config.json is damaged.
  """
  check_workdir(workdir)
  path = workdir / "config.json"
  if not path.is_file():
    raise ValueError(
      f"workdir {workdir} holds no run: {path.name} is not there. Name the "
      "--workdir that launch.train was given."
    )
  try:
    config = ConfigDict(read_json(path), type_safe=False)
    for name, default in ADDED.items():
      *parents, last = name.split(".")
      group = config
      for parent in parents:
        group = group.get(parent)
      if isinstance(group, ConfigDict) and last not in group:
        group[last] = default
    return config
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{path} cannot be read ({error}). Restore it, or choose another "
      "--workdir."
    ) from error


def write_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Leaves the resolved config where `read_config` finds it."""
  write_text(workdir / "config.json", config.to_json(indent=2) + "\n")


def read_data(workdir: pathlib.Path) -> DataSpec:
  """What the model of a run needs to know of its data.

  Raises:
    ValueError: data.json is not there, or damaged.
  """
  path = workdir / "data.json"
  if not path.is_file():
    raise ValueError(
      f"workdir {workdir} has no {path.name}, which a run of this version "
      f"begins with: python -m launch.train --workdir={workdir} writes it"
    )
  try:
    return _as_spec(read_json(path))
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f"{path} cannot be read ({type(error).__name__}: {error}). Move it away; "
      f"python -m launch.train --workdir={workdir} writes it anew."
    ) from error


def _as_spec(fields: dict[str, Any]) -> DataSpec:
  """From JSON; raises where anything is of another kind."""

  def number(value: Any) -> int:
    if type(value) is not int or value < 0:
      raise ValueError(f"{value!r} is no count")
    return value

  def real(value: Any) -> float:
    if type(value) is not float or not math.isfinite(value):
      raise ValueError(f"{value!r} is no finite float")
    return value

  def text(value: Any) -> str:
    if not isinstance(value, str):
      raise ValueError(f"{value!r} is no name")
    return value

  properties = tuple(
    Property(
      number(of["factor"]),
      text(of["feature"]),
      tuple(map(number, of["values"])),
      tuple(map(text, of["names"])),
    )
    for of in fields["properties"]
  )
  if any(len(p.names) != len(p.values) for p in properties):
    raise ValueError("a property needs a name for each of its values")
  height, width, channels = map(number, fields["image_shape"])
  loc, scale = (tuple(map(real, fields[of])) for of in ("loc", "scale"))
  size = channels if (height, width) == (1, 1) else 0
  if not len(loc) == len(scale) == size or min(scale, default=1.0) <= 0:
    raise ValueError(f"loc and scale, above 0, need {size} numbers each")
  return DataSpec(
    (height, width, channels),
    number(fields["num_train"]),
    number(fields["num_test"]),
    properties,
    loc,
    scale,
  )


def _check_data(workdir: pathlib.Path, spec: DataSpec) -> None:
  """Does nothing where a run has no data.json, or one of these data.

  Raises:
    ValueError: it is of other data; lists the differences.
  """
  if (workdir / "data.json").exists():
    check_same_data(workdir, read_data(workdir), spec)


def check_same_data(
  workdir: pathlib.Path, there: DataSpec, here: DataSpec
) -> None:
  """Raises ValueError, with the differences, unless both are the same."""
  pairs = (
    (field.name, getattr(there, field.name), getattr(here, field.name))
    for field in dataclasses.fields(there)
  )
  differing = [
    f"{name}: {_SHOWN.repr(a)} there, {_SHOWN.repr(b)} here"
    for name, a, b in pairs
    if a != b
  ]
  if differing:
    raise ValueError(
      f"the run in {workdir} has other data ({'; '.join(differing)}). Put "
      "back what it was trained on, or choose another --workdir."
    )


def check_workdir(workdir: pathlib.Path) -> None:
  """Raises ValueError for a file in the place of a folder, or the reverse."""
  wrong = [workdir / name for name in _FILES if (workdir / name).is_dir()]
  wrong += [workdir / name for name in _FOLDERS if (workdir / name).is_file()]
  if wrong:
    kind = "folder" if wrong[0].is_dir() else "file"
    raise ValueError(
      f"{wrong[0]} is a {kind}, which no run has left there. Move it away, or "
      "choose another --workdir."
    )


@contextlib.contextmanager
def held(
  workdir: pathlib.Path, config: ConfigDict, spec: DataSpec
) -> Iterator[None]:
  """Holds a workdir, with config.json and data.json in it, for a run.

  A run that ended before its first checkpoint has left nothing of worth: its
  config is replaced.

  Raises:
    InUseError: another run is at work there, or one of another config or of
      other data has left a state or a result; lists the differences.
    ValueError: there is a file in the place of a folder, or the reverse.
  """
  with locked(workdir):
    check_workdir(workdir)
    clear_partial(workdir)
    left = ("checkpoints/[0-9]*", "unreadable/*", "results.json")
    if any(any(workdir.glob(pattern)) for pattern in left):
      try:
        check_config(workdir, config)
        _check_data(workdir, spec)
      except ValueError as error:
        raise InUseError(str(error)) from error
    write_config(workdir, config)
    write_json(workdir / "data.json", dataclasses.asdict(spec))
    yield


def check_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Does nothing where the workdir is empty or holds a run of this config.

  Raises:
    ValueError: it holds another one; lists the differences.
  """
  check_workdir(workdir)
  if not (workdir / "config.json").exists():
    return
  there, asked_for = flat(read_config(workdir)), flat(config)
  if there != asked_for:
    raise ValueError(
      f"workdir {workdir} holds a run of another config ("
      f"{differences(there, asked_for)}). Choose another one."
    )


def differences(there: dict[str, Any], asked_for: dict[str, Any]) -> str:
  """How two configs differ, both `flat`."""
  return "; ".join(
    f"config.{name}: {there.get(name)!r} there, {asked_for.get(name)!r} asked "
    "for"
    for name in {**asked_for, **there}
    if there.get(name) != asked_for.get(name)
  )


def flat(config: ConfigDict) -> dict[str, Any]:
  """Values by dotted name, as JSON gives them back."""
  out: dict[str, Any] = {}

  def add(tree: dict[str, Any], path: str) -> None:
    for name, value in tree.items():
      if isinstance(value, dict):
        add(value, f"{path}{name}.")
      else:
        out[path + name] = value

  add(json.loads(config.to_json()), "")
  return out


class Rows:
  """Rows of numbers by step; a context manager, as what writes them is."""

  def __init__(self, rows: Sequence[Row]):
    self.rows = list(rows)

  def __enter__(self) -> "Rows":
    return self

  def __exit__(self, *_) -> None:
    pass

  def write(
    self, step: int, phase: str, split: str, values: dict[str, float]
  ) -> None:
    """Adds a row; `split` is 'train', 'validation' or 'test'."""
    self.rows.append({"step": step, "phase": phase, "split": split, **values})


class Metrics(Rows):
  """Rows that go to metrics.jsonl and to TensorBoard events.

  Both files take a row whole before `write` returns, or it raises OSError. The
  queue of tensorboardX's SummaryWriter would wait forever on a full disk.
  """

  def __init__(
    self, workdir: pathlib.Path, rows: Sequence[Row], from_step: int
  ):
    """Starts the files, or goes on with them.

    Args:
      workdir: of the run.
      rows: so far; whatever else metrics.jsonl holds was written after the
        checkpoint from which the run continues, and will come again.
      from_step: of that checkpoint; TensorBoard forgets what lies after it.
    """
    super().__init__(rows)
    path = workdir / "metrics.jsonl"
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    self._file = path.open("a")
    (workdir / "tensorboard").mkdir(exist_ok=True)
    self._events = EventsWriter(
      str(workdir / "tensorboard" / "events"), f".{from_step:010}.{os.getpid()}"
    )
    start = SessionLog(status=SessionLog.START)
    self._add_event(step=from_step + 1, session_log=start)

  def __exit__(self, *_) -> None:
    self._file.close()
    self._events.close()

  def write(
    self, step: int, phase: str, split: str, values: dict[str, float]
  ) -> None:
    """Adds a row; `split` is 'train', 'validation' or 'test'."""
    super().write(step, phase, split, values)
    self._file.write(json.dumps(self.rows[-1]) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._add_event(step=step, summary=scalar(f"{split}/{name}", value))
    self._events.flush()

  def _add_event(self, **fields: Any) -> None:
    self._events.write_event(Event(wall_time=time.time(), **fields))
