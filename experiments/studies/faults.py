"""What a run loses when the machine does its worst.

  python -m experiments.studies.faults --workdir=runs/faults

Each fault hits launch.train, a process of its own, at a random moment; the same
command then continues the run, and its end is compared with that of a run that
nothing disturbed: every array bit for bit, every row of metrics. `--times` is
how often each fault is tried; the table goes to faults.csv. Disks that are full
or read-only are file systems in memory, which root alone can mount; without
that right their faults are left out, and it says so.
"""

import contextlib
import csv
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from absl import app, flags, logging

from experiments.studies.runs import (
  ROOT,
  Bench,
  Run,
  kill_session,
  new_folder,
  tabulate,
)
from fmvae.training import host
from fmvae.training.checkpoints import complete_steps

_TIMES = flags.DEFINE_integer("times", 20, "How often each fault is tried.")
_ONLY = flags.DEFINE_list(
  "only", None, "The names of the faults to try. By default all are tried."
)
_OUT = flags.DEFINE_string(
  "workdir", "runs/faults", "The folder for the runs and the table."
)

_STOP = host.stop_signals()
_CONTINUE = 75  # the exit code that launch.train documents
_PATIENCE_S = 300.0  # with a sweep
PEER_LOST = "another process of this run has ended"


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A row of the table."""

  fault: str
  tried: int
  survived: int  # said what they should and ended as the undisturbed run
  lost: int  # most steps that had to be taken again
  remark: str


def kill(bench: Bench, times: int) -> Outcome:
  """SIGKILL at random moments, most of them while steps are taken."""
  tried = survived = lost = writing = number = 0
  while tried < times:
    run, kills = bench.run(f"kill_{number}"), 0
    number += 1
    while tried + kills < times:
      run.start()
      if bench.random.random() < 0.2:  # at any moment of its life
        bench.pause(10)
      else:
        run.wait_for_a_step()
        bench.pause(1)
      run.processes[0].kill()
      if run.wait() == [0]:
        break  # it had finished
      kills += 1
      lost = max(lost, run.to_do_again())
      writing += any((run.workdir / "checkpoints").glob("*tmp*"))
    run.finish()
    tried += kills
    survived += kills * run.is_as_undisturbed()
  remark = f"{writing} of them while a checkpoint was being written"
  return Outcome("kill -9", tried, survived, lost, remark)


def stop(bench: Bench, times: int) -> Outcome:
  """SIGHUP, SIGINT and SIGTERM in turn."""
  survived = lost = 0
  for i in range(times):
    run = bench.run(f"stop_{i}")
    run.start_and_go_on(0.5)
    run.processes[0].send_signal(_STOP[i % len(_STOP)])
    codes = run.wait()
    lost = max(lost, run.to_do_again())
    run.finish()
    survived += codes == [_CONTINUE] and run.is_as_undisturbed()
  fault = "SIGTERM, SIGINT, SIGHUP"
  return Outcome(fault, times, survived, lost, "exit code 75")


def stop_twice(bench: Bench, times: int) -> Outcome:
  """Another signal while the first one is being obeyed."""
  survived = lost = writing = 0
  for i in range(times):
    run = bench.run(f"stop_twice_{i}")
    run.start_and_go_on(0.5)
    run.processes[0].send_signal(_STOP[i % len(_STOP)])
    bench.pause(0.05 if i else 0)
    run.processes[0].send_signal(_STOP[(i + 1) % len(_STOP)])
    codes = run.wait()
    writing += any((run.workdir / "checkpoints").glob("*tmp*"))
    lost = max(lost, run.to_do_again())
    run.finish()
    survived += codes == [_CONTINUE] and run.is_as_undisturbed()
  remark = f"exit code 75; {writing} while a checkpoint was being written"
  return Outcome("two of them within 50 ms", times, survived, lost, remark)


def damage(bench: Bench, times: int) -> Outcome:
  """The newest checkpoint has a bit flipped, a file cut short, a file lost."""
  survived = lost = reported = 0
  whole = bench.run("to_be_damaged")
  whole.start()
  while len(complete_steps(whole.workdir)) < 2 and whole.last_row() < 30:
    time.sleep(0.01)
  whole.processes[0].kill()
  whole.wait()
  before, newest = complete_steps(whole.workdir)[-2:]
  for i in range(times):
    run = bench.run(f"damage_{i}")
    shutil.copytree(whole.workdir, run.workdir)
    folder = run.workdir / "checkpoints" / str(newest)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    if i % 2:  # the file that holds most of the numbers
      path = max(files, key=lambda p: p.stat().st_size)
    else:
      path = bench.random.choice([p for p in files if p.stat().st_size])
    content = bytearray(path.read_bytes())
    place = bench.random.randrange(len(content))
    if i % 3 == 0:
      content[place] ^= 1 << bench.random.randrange(8)
    path.write_bytes(content[:place] if i % 3 == 1 else content)
    if i % 3 == 2:
      path.unlink()
    run.finish()
    if f"The checkpoint of step {newest}" in run.said():
      reported += 1
      lost = max(lost, newest - before)
    survived += run.is_as_undisturbed()
  remark = f"{reported} reported, the others in files that nothing depends on"
  fault = "newest checkpoint: bit flipped, file cut short, file lost"
  return Outcome(fault, times, survived, lost, remark)


def fill(bench: Bench, times: int) -> Outcome:
  """The disk becomes full at a random moment; later there is room again."""

  def harm(run: Run, disk: pathlib.Path) -> None:
    run.start_and_go_on(0.5)
    left = bench.random.randrange(500_000)
    with (disk / "ballast").open("wb") as file:
      while (free := shutil.disk_usage(disk).free - left) > 0:
        with contextlib.suppress(OSError):  # the run was quicker
          os.posix_fallocate(file.fileno(), 0, file.seek(0, 2) + free)

  return _on_disk(
    *(bench, times, "full disk", "No space left on device", harm),
    lambda disk: (disk / "ballast").unlink(),
  )


def freeze(bench: Bench, times: int) -> Outcome:
  """The disk is read-only when a killed run is continued."""

  def harm(run: Run, disk: pathlib.Path) -> None:
    run.start_and_go_on(0.5)
    run.processes[0].kill()
    run.wait()
    _mount("-o", "remount,ro", str(disk))
    run.start()

  return _on_disk(
    *(bench, times, "read-only disk", "Read-only file system", harm),
    lambda disk: _mount("-o", "remount,rw", str(disk)),
  )


def starve(bench: Bench, times: int) -> Outcome:
  """The disk is too small from the start, and no larger at a second start."""

  def harm(run: Run, disk: pathlib.Path) -> None:
    _mount(
      "-o", f"remount,size={bench.random.randrange(150, 1500)}k", str(disk)
    )
    run.start()
    run.wait()
    run.log.unlink()
    run.start()

  return _on_disk(
    *(bench, times, "small disk", "No space left on device", harm),
    lambda disk: _mount("-o", "remount,size=50m", str(disk)),
  )


def _on_disk(
  bench: Bench,
  times: int,
  fault: str,
  sentence: str,
  harm: Callable[[Run, pathlib.Path], None],
  heal: Callable[[pathlib.Path], None],
) -> Outcome:
  survived = lost = 0
  for i in range(times):
    disk = bench.folder / f"{fault.replace(' ', '_')}_{i}"
    disk.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", "size=50m", "tmpfs", str(disk))
    try:
      run = bench.run(f"{disk.name}/run")
      harm(run, disk)
      codes = run.wait()
      heal(disk)
      lost = max(lost, run.to_do_again())
      errors = [e for e in run.said().split("\n") if e.startswith("error: ")]
      run.finish()
      told = codes == [1] and len(errors) == 1 and sentence in errors[0]
      survived += told and run.is_as_undisturbed()
    finally:
      subprocess.run(["umount", "--lazy", str(disk)], check=True)
  return Outcome(fault, times, survived, lost, f"one sentence: {sentence}")


def lose_peer(bench: Bench, times: int) -> Outcome:
  """SIGKILL for one of two processes; the other must end by itself."""
  survived = lost = 0
  longest = 0.0
  for i in range(times):
    run = bench.run(f"peer_{i}", 2)
    run.start_and_go_on(1)
    run.processes[i % 2].kill()
    killed = time.monotonic()
    codes = run.wait()
    longest = max(longest, time.monotonic() - killed)
    lost = max(lost, run.to_do_again())
    told = codes[1 - i % 2] == _CONTINUE and PEER_LOST in run.said()
    run.finish()
    survived += told and run.is_as_undisturbed()
  remark = f"the other one ended within {longest:.1f} s, exit code 75"
  return Outcome(
    "kill -9 of one of two processes", times, survived, lost, remark
  )


def stop_peer(bench: Bench, times: int) -> Outcome:
  """SIGTERM for one of two processes; both save and end."""
  survived = lost = 0
  for i in range(times):
    run = bench.run(f"stop_peer_{i}", 2)
    run.start_and_go_on(1)
    run.processes[i % 2].terminate()
    codes = run.wait()
    lost = max(lost, run.to_do_again())
    run.finish()
    survived += codes == [_CONTINUE] * 2 and run.is_as_undisturbed()
  remark = "both save the same step, exit code 75"
  return Outcome(
    "SIGTERM for one of two processes", times, survived, lost, remark
  )


def intrude(bench: Bench, times: int) -> Outcome:
  """A second run is started in a workdir where one is at work."""
  survived = 0
  for i in range(times):
    run = bench.run(f"intrude_{i}")
    second = bench.run(f"intrude_{i}")
    run.start()
    run.wait_for_a_step()
    second.start()
    refused = second.wait() == [1] and "another run is at work" in run.said()
    survived += run.wait() == [0] and refused and run.is_as_undisturbed()
  return Outcome("a second run in the workdir", times, survived, 0, "refused")


class _Sweep:
  """A sweep of one point, its pre-training and their NLL, in a folder."""

  def __init__(self, bench: Bench, name: str):
    self.bench = bench
    self.folder = bench.folder / name

  def start(self) -> subprocess.Popen:
    """Starts it, or continues it, as the leader of a group of processes."""
    with (self.folder.with_suffix(".log")).open("ab") as log:
      return subprocess.Popen(
        [
          *(sys.executable, "-m", "launch.sweep", f"--sweepdir={self.folder}"),
          "--config=experiments/sweeps/figure3_digits.py:smoke",
          *("--config.seeds=(0,)", "--config.num_components=(2,)"),
          *(
            "--config.importance_samples=3",
            f"--data_dir={self.bench.data_dir}",
          ),
        ],
        cwd=ROOT,
        stdout=log,
        stderr=log,
        start_new_session=True,
      )

  def table(self) -> list[dict[str, str]]:
    """Its rows, but for what each sweep has of its own."""
    with (self.folder / "table.csv").open() as file:
      rows = list(csv.DictReader(file))
    own = ("seconds", "pretrain_seconds", "device", "commit")
    return [{k: v for k, v in r.items() if k not in own} for r in rows]

  def files(self) -> set[str]:
    """What it has written, a checkpoint as one."""
    found = set()
    for path in self.folder.rglob("*"):
      name = path.relative_to(self.folder).as_posix()
      inside = re.search("/(checkpoints/.+/|tensorboard/)|\\.orbax-|/\\.", name)
      if not inside and (path.is_file() or path.name.isdecimal()):
        found.add(name)
    return found


def kill_sweep(bench: Bench, times: int) -> Outcome:
  """SIGKILL for a sweep, at random moments and as each of its files appears.

  In turn all of its processes are killed, as when a machine dies, and it alone.
  """
  undisturbed = _Sweep(bench, "sweep_undisturbed")
  began = time.monotonic()
  if undisturbed.start().wait(_PATIENCE_S):
    raise RuntimeError(f"{undisturbed.folder} does not end")
  longest = time.monotonic() - began
  awaited = undisturbed.files()
  kills = survived = number = at_random = 0
  at_files = len(awaited)
  while at_random < times or awaited:
    sweep, of_this = _Sweep(bench, f"sweep_{number}"), 0
    number += 1
    while True:
      process = sweep.start()
      to_come = sorted(awaited - sweep.files())
      deadline = time.monotonic() + _PATIENCE_S
      if at_random < times and (not to_come or bench.random.random() < 0.5):
        bench.pause(longest)
        at_random += process.poll() is None
      elif to_come:
        name = bench.random.choice(to_come)
        while not (sweep.folder / name).exists() and process.poll() is None:
          if time.monotonic() > deadline:
            raise RuntimeError(f"{sweep.folder} does not get on")
          time.sleep(0.001)
        awaited -= {name} if process.poll() is None else set()
      else:
        process.wait(_PATIENCE_S)
      if process.poll() is not None:
        break
      if of_this % 2:
        process.kill()
      else:
        kill_session(process)
      process.wait()
      of_this += 1
    kills += of_this
    if process.returncode == 0 and sweep.table() == undisturbed.table():
      survived += of_this
  remark = f"{at_files} of them as one of its files appeared"
  return Outcome("kill -9 of a sweep", kills, survived, 0, remark)


FAULTS: dict[str, Callable[[Bench, int], Outcome]] = {
  "kill": kill,
  "stop": stop,
  "stop_twice": stop_twice,
  "damage": damage,
  "fill": fill,
  "freeze": freeze,
  "starve": starve,
  "intrude": intrude,
  "lose_peer": lose_peer,
  "stop_peer": stop_peer,
  "kill_sweep": kill_sweep,
}
NEED_MOUNT = ("fill", "freeze", "starve")


def can_mount(folder: pathlib.Path) -> bool:
  """Whether this process may mount a file system."""
  try:
    _mount("-t", "tmpfs", "tmpfs", str(folder))
  except (OSError, subprocess.CalledProcessError):
    return False
  subprocess.run(["umount", str(folder)], check=True)
  return True


def _mount(*arguments: str) -> None:
  subprocess.run(["mount", *arguments], check=True, capture_output=True)


def main(argv: list[str]) -> None:
  """Tries the faults and writes the table."""
  del argv
  logging.set_verbosity(logging.WARNING)
  folder = new_folder("workdir", _OUT.value)
  names = list(_ONLY.value or FAULTS)
  if not can_mount(folder):
    left_out = ", ".join(NEED_MOUNT)
    print(f"no right to mount a file system: {left_out} are left out")
    names = [name for name in names if name not in NEED_MOUNT]
  bench = Bench(folder, folder / "data", seed=0)
  outcomes = (FAULTS[name](bench, _TIMES.value) for name in names)
  tabulate(folder / "faults.csv", outcomes)


if __name__ == "__main__":
  app.run(main)
