"""Signals to programs that have nothing to save yet."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fmvae.training import host
from tests import quick
from tests.launch.test_launch import ROOT


def start(module, *flags, before=()):
  return subprocess.Popen(
    [*before, sys.executable, "-m", f"launch.{module}", *flags],
    cwd=ROOT,
    env=quick.environment(),
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def has_caught(process, number):
  """Whether a process has a handler of its own for a signal."""
  with open(f"/proc/{process.pid}/status") as file:
    (caught,) = (line for line in file if line.startswith("SigCgt"))
  return int(caught.split()[1], 16) >> (number - 1) & 1


def wait_until(condition):
  deadline = time.monotonic() + 120
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.002)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
@pytest.mark.parametrize(
  ("module", "number"),
  [
    ("train", signal.SIGTERM),
    ("evaluate", signal.SIGINT),
    ("sweep", signal.SIGINT),
  ],
)
def test_a_signal_during_imports_costs_one_sentence(module, number):
  with start(module, "--workdir=nowhere") as process:
    wait_until(lambda: has_caught(process, signal.SIGTERM))  # the last
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
  assert process.returncode == host.EXIT_CONTINUE
  assert said.startswith(f"stopped by {number.name}")
  assert said.count("\n") == 1


def test_a_signal_while_data_is_prepared_leaves_nothing_half_written(tmp_path):
  folder, workdir = tmp_path / "data", tmp_path / "run"
  # As nohup starts it, with SIGHUP ignored.
  nohup = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
  flags = (f"--data_dir={folder}", f"--workdir={workdir}")
  with start("train", *flags, before=nohup) as process:
    wait_until(lambda: list(folder.rglob("incomplete.*")))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
  assert process.returncode == host.EXIT_CONTINUE
  assert said == "stopped by SIGINT; start the same command again.\n"
  assert not list(folder.rglob("incomplete.*"))
  assert not workdir.exists()
