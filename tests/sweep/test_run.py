"""The order of tasks, failures, restarts and the local engine."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from fmvae import sweep
from fmvae.sweep import engines
from fmvae.sweep.plan import Task

ROOT = pathlib.Path(__file__).parents[2]


def tasks_in(folder, *names_and_needs):
  tasks = []
  for name, needs in names_and_needs:
    workdir = folder / name
    workdir.mkdir(exist_ok=True)
    result = workdir / "results.json"
    tasks.append(Task(name, workdir, "train", (), result, STEPS, needs))
  return tasks


def python(program):
  """A command for tasks that runs `program` with their workdirs."""
  return lambda *tasks: [
    *(sys.executable, "-c", program),
    *(str(task.workdir) for task in tasks),
  ]


STEPS = 30
SUCCEED = f"""
import json, os, pathlib, shutil, sys
for workdir in map(pathlib.Path, sys.argv[1:]):
  shutil.copytree(os.environ['A_CHECKPOINT'], workdir / 'checkpoints/{STEPS}')
  (workdir / 'results.json').write_text(json.dumps({{'step': {STEPS}}}))
"""
FAIL_ON_BAD = f"""
import sys
if 'bad' in sys.argv[1]: sys.exit('error: no such thing')
{SUCCEED}
"""


def test_a_failed_task_is_reported_and_stops_none_but_those_that_need_it(
  tmp_path, capfd
):
  tasks = tasks_in(
    tmp_path,
    ("bad", None),
    ("after_bad", "bad"),
    ("good", None),
    ("after_good", "good"),
  )
  reported = []

  def report(task):
    reported.append(task.name)
    return "fine"

  failed = sweep.run(
    tasks, engines.Local(2), python(FAIL_ON_BAD), report=report
  )
  assert sorted(reported) == ["after_good", "good"]
  assert sorted(failed) == ["after_bad", "bad"]
  assert "error: no such thing (exit code 1" in failed["bad"]
  assert str(tmp_path / "bad" / "log.txt") in failed["bad"]
  assert failed["after_bad"] == "needs bad, which failed"
  said = capfd.readouterr().out
  assert "FAILED bad" in said
  started = re.findall(r"at work: (\w+), in ", said)  # without a terminal
  assert sorted(started) == ["after_good", "bad", "good"]


def test_finished_tasks_are_left_alone_and_needs_come_first(tmp_path):
  tasks = tasks_in(tmp_path, ("b", "a"), ("a", None), ("c", None))
  subprocess.run(python(SUCCEED)(tasks[-1]), check=True)
  order = []

  def command(task):
    order.append(task.name)
    return python(SUCCEED)(task)

  assert sweep.run(tasks, engines.Local(3), command, lambda task: "") == {}
  assert order == ["a", "b"]


def test_tasks_that_are_alike_share_a_program(tmp_path):
  tasks = [
    dataclasses.replace(task, alike=task.name[0].strip("x"))
    for task in tasks_in(
      tmp_path,
      *(("a1", None), ("b1", None), ("x1", None), ("a2", "b1"), ("a3", None)),
      *(("a4", None), ("x2", None), ("a5", None)),
    )
  ]
  groups = []

  def command(*group):
    groups.append([task.name for task in group])
    program = SUCCEED
    if groups[-1] == ["a1", "a3", "a4"]:  # one of them fails
      group = group[:2]
      program += "sys.exit('error: a4: no such thing')"
    return python(program)(*group)

  failed = sweep.run(tasks, engines.Local(1), command, lambda task: "", 3)
  assert groups == [["a1", "a3", "a4"], ["b1"], ["x1"], ["a2", "a5"], ["x2"]]
  log = tmp_path / "a1" / "log.txt"
  assert failed == {"a4": f"error: a4: no such thing (exit code 1; {log})"}
  assert (tmp_path / "a3" / "log.txt").read_text() == f"see {log}\n"


def test_ending_without_a_result_is_a_failure(tmp_path):
  tasks = tasks_in(tmp_path, ("a", None))
  failed = sweep.run(tasks, engines.Local(1), python("pass"), lambda task: "")
  assert failed == {"a": "ended without its result"}


def test_the_result_of_an_earlier_step_is_no_success(tmp_path):
  tasks = tasks_in(tmp_path, ("early", None), ("unsaved", None))
  for task, step in zip(tasks, (STEPS - 1, STEPS), strict=True):
    task.result.write_text(json.dumps({"step": step}))
    (task.workdir / "checkpoints" / str(STEPS - 1)).mkdir(parents=True)
  started = []

  def command(task):
    started.append(task.name)
    return python("pass" if task.name == "early" else SUCCEED)(task)

  failed = sweep.run(tasks, engines.Local(1), command, lambda task: "")
  assert started == ["early", "unsaved"]
  assert failed == {"early": "ended without its result"}


def test_slots_bound_the_tasks_at_a_time(tmp_path):
  class Counting(engines.Local):
    most = 0

    def start(self, *arguments):
      super().start(*arguments)
      self.most = max(self.most, len(self._running))

  tasks = tasks_in(tmp_path, *((str(i), None) for i in range(5)))
  engine = Counting(2)
  assert sweep.run(tasks, engine, python(SUCCEED), lambda task: "") == {}
  assert engine.most == 2


def test_a_killed_process_is_named_by_its_signal(tmp_path):
  (tmp_path / "a").mkdir()
  engine = engines.Local(1)
  engine.start(
    "a", python("import time; time.sleep(60)")(task_of(tmp_path)), tmp_path
  )
  process = engine._running["a"][0]
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert "killed by signal 9" in engine.poll()["a"]


def task_of(folder):
  return Task("a", folder, "train", (), folder / "results.json", STEPS, None)


HOLD = """
import pathlib, sys, time
from fmvae.storage import locked
with locked(pathlib.Path(sys.argv[1])):
  print('held', flush=True)
  time.sleep(60)
"""


def test_a_workdir_that_is_held_is_taken_over_not_started(tmp_path):
  command = [sys.executable, "-c", HOLD, str(tmp_path)]
  with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
    holder.stdout.readline()
    engine = engines.Local(1)
    assert engine.adopt("a", tmp_path)
    assert engine.poll() == {}
    holder.kill()
  assert engine.poll() == {"a": ""}
  assert not engine.adopt("a", tmp_path)


def test_close_ends_what_was_started(tmp_path):
  engine = engines.Local(1)
  sleep = python("import time; time.sleep(60)")
  engine.start("a", sleep(task_of(tmp_path)), tmp_path)
  process = engine._running["a"][0]
  assert engine.close() == "stopped 1 processes"
  assert process.returncode == -signal.SIGTERM


@pytest.mark.skipif(
  not hasattr(os, "sched_getaffinity"), reason="no affinity on this system"
)
def test_a_process_gets_its_share_of_the_cores(tmp_path):
  cores = sorted(os.sched_getaffinity(0))
  engine = engines.Local(len(cores))
  wait = "import time; time.sleep(60)"
  for name in ("a", "b")[: len(cores)]:
    engine.start(name, python(wait)(task_of(tmp_path)), tmp_path)
  shares = [
    os.sched_getaffinity(process.pid)
    for process, _, _ in engine._running.values()
  ]
  engine.close()
  assert all(len(share) == 1 for share in shares)
  assert len(set().union(*shares)) == len(shares)


def test_shares_of_cores_and_gpus():
  assert engines.core_share(1, 3, [0, 1, 2, 3, 4, 5]) == [2, 3]
  assert engines.core_share(2, 3, [4, 7]) == [4]  # more tasks than cores
  every = [engines.core_share(s, 3, range(8)) for s in range(3)]
  assert sorted(core for share in every for core in share) == list(range(8))
  assert engines.gpu_share(0, 2, []) == {}
  assert engines.gpu_share(0, 1, ["0", "1"]) == {}  # one task has them all
  assert engines.gpu_share(1, 2, ["5", "7"]) == {"CUDA_VISIBLE_DEVICES": "7"}
  assert engines.gpu_share(3, 4, ["0"]) == {
    "CUDA_VISIBLE_DEVICES": "0",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.225",
  }


def test_an_interrupted_sweep_ends_its_processes(tmp_path):
  tasks = tasks_in(tmp_path, ("a", None))
  engine = engines.Local(1)

  def command(task):
    def interrupt(*_):
      raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1)
    return python("import time; time.sleep(60)")(task)

  start = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    sweep.run(tasks, engine, command, lambda task: "")
  assert time.monotonic() - start < 20
  assert engine._running["a"][0].returncode == -signal.SIGTERM
