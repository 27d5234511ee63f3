"""The Slurm engine against a real Slurm, started for these tests."""

import json
import pathlib
import subprocess
import sys
import time

import pytest

from fmvae.sweep import engines
from tests import quick
from tests.sweep import slurm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
  if slurm.missing():
    pytest.skip(f"a real Slurm: {slurm.missing()}")
  with (
    slurm.running(tmp_path_factory.mktemp("slurm")) as environment,
    pytest.MonkeyPatch.context() as patch,
  ):
    for name, value in environment.items():
      patch.setenv(name, value)
    yield


def wait_for(engine, names, seconds=120):
  ended = {}
  end = time.monotonic() + seconds
  while set(ended) != set(names):
    assert time.monotonic() < end, f"only {ended}"
    ended |= engine.poll()
    time.sleep(0.2)
  return ended


def test_jobs_succeed_fail_die_and_are_refused(cluster, tmp_path):
  programs = {
    "good": "open('{0}/done', 'w')",
    "bad": "raise SystemExit('error: no such thing')",
    # As when a node fails: neither the program nor submitit can say a word.
    "lost": "import os; os.kill(os.getppid(), 9)",
  }
  parameters = {"time": 5, "mem": "100MB"}
  engine = engines.Slurm(2, tmp_path, parameters, lost_after=3)
  for name, program in programs.items():
    (tmp_path / name).mkdir()
    text = program.format(tmp_path / name)
    engine.start(name, [sys.executable, "-c", text], tmp_path / name)
  ended = wait_for(engine, programs)
  assert ended["good"] == ""
  assert (tmp_path / "good" / "done").exists()
  assert "error: no such thing" in ended["bad"]
  assert "ended without a result" in ended["lost"]
  assert engine.poll() == {}

  greedy = engines.Slurm(1, tmp_path, {"mem": "900GB"})
  greedy.start("good", [sys.executable, "-c", ""], tmp_path / "good")
  assert "Memory specification" in greedy.poll()["good"]


def test_jobs_of_an_earlier_sweep_are_taken_over(cluster, tmp_path):
  parameters = {"mem": "100MB"}
  first = engines.Slurm(1, tmp_path, parameters)
  assert not first.adopt("a", tmp_path)
  program = f"import time; time.sleep(3); open('{tmp_path}/done', 'w')"
  first.start("a", [sys.executable, "-c", program], tmp_path)
  assert "scancel" in first.close()
  second = engines.Slurm(1, tmp_path, parameters)
  assert second.adopt("a", tmp_path)
  assert wait_for(second, ["a"]) == {"a": ""}
  assert (tmp_path / "done").exists()
  time.sleep(4)  # until Slurm forgets it
  assert not second.adopt("a", tmp_path)


def test_unknown_parameters_are_named(cluster, tmp_path):
  with pytest.raises(ValueError, match=r"--slurm: .*partitoin"):
    engines.Slurm(1, tmp_path, {"partitoin": "gpu"})


def test_the_tasks_of_a_step_train_together(cluster, prepared, tmp_path):
  subprocess.run(
    [
      *("srun", "--ntasks=2", "--mem=100MB", "--time=5", "--kill-on-bad-exit"),
      *(sys.executable, "-m", "launch.train", f"--workdir={tmp_path / 'run'}"),
      *("--config=experiments/digits.py:smoke", f"--data_dir={prepared}"),
    ],
    cwd=pathlib.Path(__file__).parents[2],
    env=quick.environment(),
    check=True,
    timeout=300,
  )
  run = json.loads((tmp_path / "run" / "run.json").read_text())
  assert [start["num_processes"] for start in run["starts"]] == [2]
  assert (tmp_path / "run" / "samples.png").exists()
