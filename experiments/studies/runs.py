"""Small real runs of launch.train, for the studies of what they survive."""

import contextlib
import csv
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import random
import resource
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import jax
import numpy as np

from experiments import digits
from fmvae import experiment
from fmvae.model import pack
from fmvae.storage import replacing
from fmvae.training.checkpoints import Checkpoints, complete_steps

ROOT = pathlib.Path(__file__).parents[2]
_PHASES = ("pretrain", "prior", "joint")
# Steps of a phase by the number of processes, where a run is not given its own:
# two of them take a second to agree on the step at which to stop.
_STEPS = {1: 12, 2: 100}
EVERY = 3  # steps between checkpoints
_PATIENCE_S = 300.0  # with a run


class Process(Protocol):
  """What the studies need of a `subprocess.Popen`."""

  def poll(self) -> int | None:
    """Its exit code, None while it runs."""

  def wait(self, timeout: float) -> int:
    """Its exit code, once it has ended."""

  def send_signal(self, number: int) -> None:
    """Sends it a signal."""

  def terminate(self) -> None:
    """SIGTERM."""

  def kill(self) -> None:
    """SIGKILL."""


def start(program: str, arguments: list[str], log: pathlib.Path) -> Process:
  """Starts a program of `launch`, which appends what it says to a file."""
  with log.open("ab") as file:
    return subprocess.Popen(
      [sys.executable, "-m", f"launch.{program}", *arguments],
      cwd=ROOT,
      stdout=file,
      stderr=file,
    )


class Forked:
  """The same by a fork of a process that has imported what takes seconds."""

  def __init__(
    self,
    program: str,
    arguments: list[str],
    log: pathlib.Path,
    memory: int | None = None,
  ):
    """Starts it.

    Args:
      program: of `launch`, its name.
      arguments: of its command line.
      log: takes what it says.
      memory: bytes of address space that it may take.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
      ["fmvae.training.loop", "fmvae.figures", "fmvae.sweep"]
    )
    self._process = context.Process(
      target=_be, args=(program, arguments, str(log), memory)
    )
    self._process.start()

  def poll(self) -> int | None:
    """See `Process`."""
    return self._process.exitcode

  def wait(self, timeout: float) -> int:
    """See `Process`."""
    self._process.join(timeout)
    code = self.poll()
    if code is None:
      raise subprocess.TimeoutExpired(self._process.name, timeout)
    return code

  def send_signal(self, number: int) -> None:
    """See `Process`."""
    if self._process.pid and self.poll() is None:
      os.kill(self._process.pid, number)

  def terminate(self) -> None:
    """See `Process`."""
    self.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """See `Process`."""
    self.send_signal(signal.SIGKILL)


def _be(
  program: str, arguments: list[str], log: str, memory: int | None
) -> None:
  """Is that program, in this process."""
  output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  os.dup2(output, 1)
  os.dup2(output, 2)
  os.chdir(ROOT)
  if memory:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
  sys.argv = ["-m", *arguments]  # as it is when `launch` is imported
  runpy.run_module(f"launch.{program}", run_name="__main__", alter_sys=True)


class Run:
  """A run of launch.train in a folder of its own, by one process or several."""

  def __init__(
    self, bench: "Bench", workdir: pathlib.Path, num_processes: int, steps: int
  ):
    self.bench = bench
    self.workdir = workdir
    self.num_processes = num_processes
    self.steps = steps  # of each phase
    self.processes: list[Process] = []

  @property
  def log(self) -> pathlib.Path:
    """What the processes say, beside all workdirs."""
    name = "_".join(self.workdir.relative_to(self.bench.folder).parts)
    return self.bench.folder / f"{name}.log"

  def arguments(self) -> list[str]:
    """What launch.train is called with, for a single process."""
    return [
      f"--workdir={self.workdir}",
      "--config=experiments/digits.py:smoke",
      *(f"--config.steps.{phase}={self.steps}" for phase in _PHASES),
      "--config.log_every=1",
      f"--config.checkpoint_every={EVERY}",
      f"--data_dir={self.bench.data_dir}",
    ]

  def start(self) -> None:
    """Starts the run, or continues it."""
    address = f"localhost:{free_port()}"
    for i in range(self.num_processes):
      several = [
        f"--coordinator={address}",
        f"--num_processes={self.num_processes}",
        f"--process_id={i}",
      ]
      arguments = self.arguments() + several * (self.num_processes > 1)
      self.processes.append(self.bench.start("train", arguments, self.log))

  def start_and_go_on(self, longest: float) -> None:
    """Starts the run and lets it take steps for a random time."""
    self.start()
    self.wait_for_a_step()
    self.bench.pause(longest)

  def wait(self) -> list[int]:
    """The exit codes."""
    codes = [process.wait(_PATIENCE_S) for process in self.processes]
    self.processes = []
    return codes

  def finish(self) -> None:
    """Continues the run to its end."""
    self.start()
    if any(self.wait()):
      raise RuntimeError(f"{self.workdir} does not end:\n{self.said()}")

  def wait_for_a_step(self) -> None:
    """Returns when the run has gone a step further, or has ended."""
    before, deadline = self.last_row(), time.monotonic() + _PATIENCE_S
    while all(p.poll() is None for p in self.processes):
      if self.last_row() > before:
        return
      if time.monotonic() > deadline:
        raise RuntimeError(f"{self.workdir} does not get on:\n{self.said()}")
      time.sleep(0.002)

  def said(self) -> str:
    """All that the processes have said so far."""
    return self.log.read_text(errors="replace")

  def last_row(self) -> int:
    """The step of the newest row of metrics, 0 before the first."""
    path = self.workdir / "metrics.jsonl"
    rows = path.read_text().split("\n")[:-1] if path.exists() else []
    return json.loads(rows[-1])["step"] if rows else 0

  def to_do_again(self) -> int:
    """Steps since the newest checkpoint."""
    return self.last_row() - max(complete_steps(self.workdir), default=0)

  def end(self) -> tuple[list[np.ndarray], list[dict]]:
    """Every array of the last state and every row, but for the clock's."""
    with Checkpoints(self.workdir) as checkpoints:
      saved = checkpoints.restore(self.bench.like)
    text = (self.workdir / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    if list(saved.rows) != rows:
      raise RuntimeError(f"{self.workdir}: metrics.jsonl is not what was saved")
    clock = ("seconds", "steps_per_second")
    rows = [{k: v for k, v in r.items() if k not in clock} for r in rows]
    return jax.tree.leaves(jax.device_get(pack(saved.state))), rows

  def is_as_undisturbed(self) -> bool:
    """Whether the run has ended as it would have, bit for bit."""
    arrays, rows = self.end()
    wanted, wanted_rows = self.bench.undisturbed(self.num_processes)
    pairs = zip(arrays, wanted, strict=True)
    return rows == wanted_rows and all(np.array_equal(a, b) for a, b in pairs)


class Bench:
  """Makes runs of one small config on the digits of scikit-learn."""

  def __init__(
    self,
    folder: pathlib.Path,
    data_dir: pathlib.Path,
    seed: int,
    start: Callable[[str, list[str], pathlib.Path], Process] = start,
  ):
    self.folder = folder
    self.data_dir = data_dir
    self.start = start
    self.random = random.Random(seed)
    self.undisturbed = functools.cache(self._undisturbed)
    exp = experiment.build(digits.get_config("smoke"), data_dir=str(data_dir))
    self.like = jax.eval_shape(lambda: experiment.init(exp))  # of every run

  def run(
    self, name: str, num_processes: int = 1, steps: int | None = None
  ) -> Run:
    """A run in a folder that has that name, with so many steps of a phase."""
    steps = _STEPS[num_processes] if steps is None else steps
    return Run(self, self.folder / name, num_processes, steps)

  def _undisturbed(self, num_processes: int):
    run = self.run(f"undisturbed_{num_processes}", num_processes)
    run.finish()
    return run.end()

  def pause(self, longest: float) -> None:
    """Waits for a random time."""
    time.sleep(self.random.uniform(0, longest))


def free_port() -> int:
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    return listener.getsockname()[1]


def kill_session(process: subprocess.Popen) -> None:
  """SIGKILL for a program that leads a session, and for all that it started."""
  for name in filter(str.isdecimal, os.listdir("/proc")):
    with contextlib.suppress(ProcessLookupError):
      if os.getsid(int(name)) == process.pid:
        os.kill(int(name), signal.SIGKILL)


def new_folder(flag: str, path: str) -> pathlib.Path:
  """The folder that a flag names, for a study that begins; must be new."""
  folder = pathlib.Path(path).absolute()
  if folder.exists():
    sys.exit(f"error: --{flag} {folder} is there already; choose another")
  folder.mkdir(parents=True)
  return folder


def tabulate(path: pathlib.Path, outcomes: Iterable[Any]) -> list[dict]:
  """Prints outcomes, dataclasses, as they come, and keeps a table of them."""
  rows: list[dict] = []
  for outcome in outcomes:
    rows.append(dataclasses.asdict(outcome))
    print(" | ".join(map(str, rows[-1].values())), flush=True)
    write_table(path, rows)
  return rows


def write_table(path: pathlib.Path, rows: list[dict]) -> None:
  """Rows of the same columns as CSV, in place of what the file holds."""
  with replacing(path) as temporary, temporary.open("w", newline="") as file:
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
