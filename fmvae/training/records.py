"""What a run writes down beside its checkpoints."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax
import tensorboardX
from ml_collections import ConfigDict

from fmvae.files import write_text

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


def describe_run() -> dict[str, Any]:
  """Commit, versions and hardware, for run.json."""
  devices = jax.devices()
  return {
    "commit": _commit(),
    "python": platform.python_version(),
    "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    "device": devices[0].device_kind,
    "num_devices": len(devices),
    "cpu_cores": os.cpu_count(),
  }


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
  """The resolved config of a run.

  Raises:
    ValueError: the folder holds no run.
  """
  path = workdir / "config.json"
  if not path.is_file():
    raise ValueError(
      f"workdir {workdir} holds no run: {path.name} is not there. Name the "
      "--workdir that launch.train was given."
    )
  return ConfigDict(json.loads(path.read_text()), type_safe=False)


def write_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Leaves the resolved config where `read_config` finds it."""
  write_text(workdir / "config.json", config.to_json(indent=2) + "\n")


def check_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Does nothing where the workdir is empty or holds a run of this config.

  Raises:
    ValueError: it holds another one; lists the differences.
  """
  if not (workdir / "config.json").exists():
    return
  found = _flat(read_config(workdir))
  differing = [
    f"config.{name}: {found.get(name)!r} there, {value!r} asked for"
    for name, value in _flat(config).items()
    if found.get(name) != value
  ]
  if differing:
    raise ValueError(
      f"workdir {workdir} holds a run of another config ("
      f"{'; '.join(differing)}). Choose another one."
    )


def _flat(config: ConfigDict) -> dict[str, Any]:
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


def _step(row: str) -> float:
  """The step of a metrics row; infinity for one that was cut off."""
  try:
    return json.loads(row)["step"]
  except json.JSONDecodeError:
    return float("inf")


class Metrics:
  """Rows of numbers by step, as metrics.jsonl and as TensorBoard events."""

  def __init__(self, workdir: pathlib.Path, from_step: int):
    path = workdir / "metrics.jsonl"
    rows = path.read_text().splitlines() if path.exists() else []
    kept = [row for row in rows if _step(row) <= from_step]
    write_text(path, "".join(row + "\n" for row in kept))
    self._file = path.open("a")
    self._events = tensorboardX.SummaryWriter(
      str(workdir / "tensorboard"), purge_step=from_step + 1
    )

  def __enter__(self) -> "Metrics":
    return self

  def __exit__(self, *_) -> None:
    self._file.close()
    self._events.close()

  def write(
    self, step: int, phase: str, split: str, values: dict[str, float]
  ) -> None:
    """Adds a row; `split` is 'train' or 'test'."""
    row = {"step": step, "phase": phase, "split": split, **values}
    self._file.write(json.dumps(row) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(f"{split}/{name}", value, step)
