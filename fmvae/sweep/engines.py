"""Where the tasks of a sweep run: on this machine or under Slurm."""

import contextlib
import glob
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from fmvae.storage import is_locked, write_text

_LOG = "log.txt"


class Engine(Protocol):
  """Runs commands, `slots` at a time; each has a name and a workdir."""

  slots: int

  def start(
    self,
    name: str,
    command: Sequence[str],
    workdir: pathlib.Path,
    *others: pathlib.Path,
  ) -> None:
    """Starts a command, which may work in other workdirs as well."""

  def adopt(self, name: str, workdir: pathlib.Path) -> bool:
    """Takes over what an earlier sweep has left running there, if anything."""

  def poll(self) -> dict[str, str]:
    """Those that have ended since, and what went wrong ('': nothing)."""

  def close(self) -> str:
    """For a sweep that ends early; says what becomes of those that run."""


class Local:
  """Processes on this machine, each with its share of cores and GPUs."""

  def __init__(self, slots: int):
    self.slots = slots
    self._free = list(range(slots))
    self._running: dict[str, tuple[subprocess.Popen, int, pathlib.Path]] = {}
    self._adopted: dict[str, tuple[int, pathlib.Path]] = {}

  def start(
    self,
    name: str,
    command: Sequence[str],
    workdir: pathlib.Path,
    *others: pathlib.Path,
  ) -> None:
    """Starts a command; its output goes to log.txt in the first workdir."""
    slot = self._free.pop(0)
    for other in others:
      with (other / _LOG).open("a") as log:
        log.write(f"see {workdir / _LOG}\n")
    with (workdir / _LOG).open("ab") as log:
      process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | gpu_share(slot, self.slots, _gpus()),
        process_group=0,  # Ctrl-C reaches this program, which tells them once
      )
    if hasattr(os, "sched_setaffinity"):
      cores = core_share(slot, self.slots, sorted(os.sched_getaffinity(0)))
      with contextlib.suppress(ProcessLookupError):  # it has ended already
        os.sched_setaffinity(process.pid, cores)
    self._running[name] = (process, slot, workdir)

  def adopt(self, name: str, workdir: pathlib.Path) -> bool:
    """Takes over a workdir that another process holds."""
    if not is_locked(workdir):
      return False
    self._adopted[name] = (self._free.pop(0), workdir)
    return True

  def poll(self) -> dict[str, str]:
    """See `Engine`."""
    ended: dict[str, str] = {}
    for name, (process, _, workdir) in list(self._running.items()):
      code = process.poll()
      if code is not None:
        ended[name] = "" if code == 0 else _last_line(workdir / _LOG, code)
        self._free.append(self._running.pop(name)[1])
    for name, (_, workdir) in list(self._adopted.items()):
      if not is_locked(workdir):
        ended[name] = ""
        self._free.append(self._adopted.pop(name)[0])
    return ended

  def close(self) -> str:
    """Ends the processes that this one started."""
    for process, _, _ in self._running.values():
      process.terminate()
    for process, _, _ in self._running.values():
      process.wait()
    return f"stopped {len(self._running)} processes"


class Slurm:
  """Jobs that submitit gives to Slurm; they outlive this process."""

  def __init__(
    self,
    slots: int,
    folder: pathlib.Path,
    parameters: dict[str, Any],
    lost_after: float = 60.0,
  ):
    """Connects to Slurm.

    Args:
      slots: jobs at a time.
      folder: shared by all hosts; takes what submitit writes.
      parameters: of `submitit.SlurmExecutor`; a job gets a day by default.
      lost_after: seconds after which a job that Slurm no longer has and that
        left no result counts as failed.

    Raises:
      ValueError: there is no Slurm here, or a parameter is unknown.
    """
    import submitit

    self.slots = slots
    self._lost_after = lost_after
    try:
      self._executor = submitit.SlurmExecutor(folder / "slurm")
      self._executor.update_parameters(**{"time": 24 * 60, **parameters})
    except (RuntimeError, ValueError) as error:
      raise ValueError(f"--slurm: {error}") from error
    self._jobs: dict[str, tuple[Any, float]] = {}  # job, when last seen
    self._refused: dict[str, str] = {}  # why

  def start(
    self,
    name: str,
    command: Sequence[str],
    workdir: pathlib.Path,
    *others: pathlib.Path,
  ) -> None:
    """Submits a command; its job's id goes to slurm_job in the workdirs."""
    from submitit.core.utils import FailedJobError
    from submitit.helpers import CommandFunction

    try:
      job = self._executor.submit(
        CommandFunction(list(command), cwd=os.getcwd())
      )
    except FailedJobError as error:
      self._refused[name] = f"Slurm refuses it: {error}".strip()
      return
    for folder in (workdir, *others):
      write_text(folder / "slurm_job", job.job_id)
    self._jobs[name] = (job, time.monotonic())

  def adopt(self, name: str, workdir: pathlib.Path) -> bool:
    """Takes over a job that Slurm still has."""
    import submitit

    path = workdir / "slurm_job"
    if not path.exists() or path.read_text() not in _slurm_queue():
      return False
    job: Any = submitit.SlurmJob(self._executor.folder, path.read_text())
    self._jobs[name] = (job, time.monotonic())
    return True

  def poll(self) -> dict[str, str]:
    """See `Engine`."""
    ended, self._refused = self._refused, {}
    queue, now = _slurm_queue(), time.monotonic()
    for name, (job, last_seen) in list(self._jobs.items()):
      has_result = job.paths.result_pickle.exists()
      if has_result and _succeeded(job.paths.stdout):
        ended[name] = ""
      elif job.job_id in queue:  # at work, or at its last words
        self._jobs[name] = (job, now)
      elif has_result:
        ended[name] = _last_line(job.paths.stderr, 1)
      elif now - last_seen > self._lost_after:
        ended[name] = (
          f"Slurm job {job.job_id} ended without a result; "
          + _last_line(job.paths.stderr, 1)
        )
    self._jobs = {k: v for k, v in self._jobs.items() if k not in ended}
    return ended

  def close(self) -> str:
    """Leaves the jobs to Slurm."""
    ids = " ".join(job.job_id for job, _ in self._jobs.values())
    return (
      f"{len(self._jobs)} Slurm jobs go on, which the same command takes over "
      f"again; to end them: scancel {ids}"
    )


def core_share(slot: int, slots: int, cores: Sequence[int]) -> list[int]:
  """The cores of one slot: as many as go round, at least one."""
  if slots > len(cores):
    return [cores[slot % len(cores)]]
  return list(
    cores[slot * len(cores) // slots : (slot + 1) * len(cores) // slots]
  )


def gpu_share(slot: int, slots: int, gpus: Sequence[str]) -> dict[str, str]:
  """Variables that give one slot a GPU, or its part of the memory of one."""
  if not gpus or slots == 1:
    return {}
  sharing = -(-slots // len(gpus))
  share = {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]}
  if sharing > 1:
    share["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / sharing:.3f}"
  return share


def _gpus() -> list[str]:
  """The NVIDIA GPUs that this process may use, without starting JAX."""
  visible = os.environ.get("CUDA_VISIBLE_DEVICES")
  if visible is not None:
    return [gpu for gpu in visible.split(",") if gpu]
  return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _slurm_queue() -> set[str]:
  """Ids of the jobs that Slurm still has."""
  done = subprocess.run(
    ["squeue", "--noheader", "--me", "--format=%i"],
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    print(f"squeue: {done.stderr.strip()}", file=sys.stderr)
  return set(done.stdout.split())


def _succeeded(log: pathlib.Path) -> bool:
  """What submitit says of a job. Its result, a pickle, is left unopened."""
  return "Job completed successfully" in _text(log)


def _text(log: pathlib.Path) -> str:
  return log.read_text(errors="replace") if log.exists() else ""


def _last_line(log: pathlib.Path, code: int) -> str:
  """What a failed task said last, and where the rest is."""
  lines = [line.strip() for line in _text(log).replace("\r", "\n").split("\n")]
  lines = [line for line in lines if line]
  # Slurm's own words may come before or after the program's.
  own = [
    line for line in lines if not line.startswith(("srun:", "slurmstepd:"))
  ]
  ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
  return f"{[ended, *lines, *own][-1]} ({ended}; {log})"
