"""Whole programs: the loop against one in PyTorch, and what watching costs."""

import collections
import contextlib
import functools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments import (
  celeb_a_named,
  density,
  digits,
  mnist_conv,
  mnist_mlp,
  shapes,
)
from experiments.benchmarks import training
from experiments.benchmarks.measure import Row, ratio
from fmvae import experiment
from fmvae.training import checkpoints, due, loop, processes
from fmvae.training import run as run_lib

_STEPS, _FIRST = 1_000, 100  # measured, and before them


def configs() -> dict[str, tuple[ConfigDict, tuple[int, ...]]]:
  """Configs and the shapes of their training images, by what they are."""
  large = mnist_mlp.get_config("k=128")
  large.batch_size = 100
  small = shapes.get_config()
  small.dataset.labels, small.kl_z_weight = (), ((0.0, 1.0),)
  return {
    "MLP pair, K = 128, batch 64": (
      mnist_mlp.get_config("k=128"),
      (60_000, 28, 28, 1),
    ),
    "MLP pair, K = 128, batch 100": (large, (60_000, 28, 28, 1)),
    "shapes, width 16": (small, (20_000, 32, 32, 3)),
    "digits": (digits.get_config(), (1_437, 8, 8, 1)),
  }


class _Clock(processes.Signals):
  """Notes when each step has been sent off; no signal stops it."""

  def __init__(self) -> None:
    super().__init__()
    self.times: list[float] = []

  def ask_to_stop(self, call: int) -> bool:
    del call
    self.times.append(time.perf_counter())
    return False


def programs(rounds: int) -> list[Row]:
  """1,000 joint steps with data and a row of metrics after each 100."""
  from experiments.benchmarks import pytorch

  rows = []
  for name, (config, shape) in configs().items():
    exp, _, _, theirs = training.same_step(config, shape)
    config = exp.config.copy_and_resolve_references()
    config.steps = {"pretrain": 0, "prior": 0, "joint": _FIRST + _STEPS}
    config.evaluate_every = None
    run = training.assemble(config, shape)
    pictures = pytorch.images(run.train.images, theirs.flat)
    ours, pytorch_s = [], []
    for _ in range(rounds):
      with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        ours.append(_ours(run, path / "run"))
        steps = theirs.run(
          pictures, _FIRST + _STEPS, _FIRST, path / "metrics.csv"
        )
        next(steps)
        begin = time.perf_counter()
        for _ in steps:
          pass
        pytorch_s.append(time.perf_counter() - begin)
    what = f"{name}, {_STEPS:,} steps"
    rows += [
      Row(f"{what}: ours / PyTorch", ratio(ours, pytorch_s), "", 0.9),
      Row(f"{what}: ours", ours, "s"),
      Row(f"{what}: PyTorch", pytorch_s, "s"),
    ]
  return rows


def _ours(run: experiment.Experiment, workdir: pathlib.Path) -> float:
  """Seconds from a step after a row of metrics to one 1,000 steps later."""
  clock = _Clock()
  loop.prepare(run, workdir)
  loop.train(run, workdir, signals=clock)
  return clock.times[_FIRST + _STEPS - 1] - clock.times[_FIRST - 1]


def watching(rounds: int) -> list[Row]:
  """What is no step, as a share of a run's time at its config's settings.

  The first turn compiles; the others find what it compiled in the cache, as a
  second run of a config does.
  """
  rows = []
  with tempfile.TemporaryDirectory() as cache:
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    for name, config in {
      "digits": digits.get_config(),
      "mnist_mlp:k=128": mnist_mlp.get_config("k=128"),
      "mnist_conv": mnist_conv.get_config(),
      "shapes": shapes.get_config(),
      "celeb_a_named:cpu": celeb_a_named.get_config("cpu"),
      "density": density.get_config(),
    }.items():
      first, *turns = (_no_steps(config) for _ in range(1 + rounds))
      begun, kept = zip(*turns, strict=True)
      both = [a + b for a, b in zip(begun, kept, strict=True)]
      rows += [
        Row(f"{name}: no steps, as a share of its time", both, "%", 2.0),
        Row(f"{name}: start and end", begun, "%"),
        Row(f"{name}: rows, evaluations, checkpoints", kept, "%"),
        Row(f"{name}: no steps, nothing compiled before", [sum(first)], "%"),
      ]
  return rows


def _no_steps(config: ConfigDict) -> tuple[float, float]:
  """Percent of a run's time for start and end, and for all between its steps.

  Both from a run with a few steps of each phase, whose parts are then counted
  as often as the whole run has them.
  """
  jax.clear_caches()
  spent: dict[str, list[float]] = collections.defaultdict(list)
  short = config.copy_and_resolve_references()
  few = {n: 2 * config.log_every if of else 0 for n, of in config.steps.items()}
  short.steps = few
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    for owner, name in (
      (run_lib, "init_prior"),
      (run_lib.Run, "log"),
      (run_lib.Run, "_evaluate"),
      (checkpoints.Checkpoints, "save"),
      (run_lib.Run, "end"),
    ):
      timed = _timed(getattr(owner, name), spent[name])
      stack.enter_context(mock.patch.object(owner, name, timed))
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import launch.train"], check=True)
    run = experiment.build(
      short,
      data_dir=flags.FLAGS.data_dir,
      manual_dir=flags.FLAGS.manual_dir,
    )
    workdir = pathlib.Path(folder) / "run"
    loop.prepare(run, workdir)
    start = time.perf_counter() - begin
    loop.train(run, workdir)
    text = (workdir / "metrics.jsonl").read_text()
  steps = 0.0
  for phase in run.phases:
    first, second = _seconds(text, phase.name)
    start += first - second  # compilation
    steps += config.steps[phase.name] * second / config.log_every
  total = sum(config.steps.values())
  whole = experiment.from_spec(config, run.spec)
  timetable = due.Timetable(
    config.log_every, config.evaluate_every, config.checkpoint_every, total
  )
  dues = [
    timetable.after(step, phase.end)
    for phase in whole.phases
    for step in range(phase.start + 1, phase.end + 1)
  ]
  # The first of its kind compiles and is counted with the start.
  between = 0.0
  for name, times in (
    ("log", sum(d.log for d in dues)),
    ("_evaluate", sum(d.evaluate for d in dues)),
    ("save", sum(d.save or d.evaluate for d in dues)),
  ):
    first, *others = spent[name]
    usual = statistics.median(others or [first])
    start += first - usual
    between += times * usual
  start += sum(spent["init_prior"]) + sum(spent["end"])
  everything = start + between + steps
  return 100 * start / everything, 100 * between / everything


def _timed(function: Callable[..., Any], into: list[float]) -> Any:
  """The function, which notes how long it takes."""

  @functools.wraps(function)
  def timed(*args: Any, **options: Any) -> Any:
    begin = time.perf_counter()
    out = function(*args, **options)
    into.append(time.perf_counter() - begin)
    return out

  return timed


def _seconds(text: str, phase: str) -> list[float]:
  """Of the stretches of a phase, in the text of metrics.jsonl."""
  rows = map(json.loads, text.splitlines())
  return [
    row["seconds"]
    for row in rows
    if row["phase"] == phase and row["split"] == "train"
  ]
