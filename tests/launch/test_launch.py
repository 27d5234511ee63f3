"""The programs as a user starts them."""

import atexit
import functools
import json
import pathlib
import subprocess
import sys

import pytest

from tests import quick

ROOT = pathlib.Path(__file__).parents[2]


# A process that has imported the libraries, which takes seconds, and runs each
# command line that it reads in a fork of itself, as `python -m` would.
FORKS = """
import json, os, runpy, signal, sys, tempfile
import sklearn.metrics, tensorflow_datasets
import fmvae.training.loop
for line in sys.stdin:
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    child = os.fork()
    if not child:
      signal.alarm(300)
      os.dup2(out.fileno(), 1)
      os.dup2(err.fileno(), 2)
      module, *flags = json.loads(line)
      sys.argv = [module, *flags]
      runpy.run_module(module, run_name="__main__", alter_sys=True)
      sys.exit()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for file in (out, err):
      file.seek(0)
      texts.append(file.read().decode())
  print(json.dumps([code, *texts]), flush=True)
"""


def python(*arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=ROOT,
    env=quick.environment(),
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@functools.cache
def forks():
  process = subprocess.Popen(
    [sys.executable, "-W", "ignore", "-c", FORKS],
    cwd=ROOT,
    env=quick.environment(),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  atexit.register(process.communicate)
  return process


def run(module, *flags):
  process = forks()
  line = [f"launch.{module}", *flags]
  process.stdin.write(json.dumps(line) + "\n")
  process.stdin.flush()
  return subprocess.CompletedProcess(
    line, *json.loads(process.stdout.readline())
  )


def contents(folder):
  """What the files of a folder hold, by name."""
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_train_then_evaluate(prepared, tmp_path):
  data = f"--data_dir={prepared}"
  workdir = f"--workdir={tmp_path / 'run'}"
  config = "--config=experiments/digits.py:smoke"
  trained = run("train", config, workdir, data, "--config.seed=3")
  assert trained.returncode == 0, trained.stderr
  assert "of 20 components used" in trained.stdout
  assert "samples.png" in trained.stdout
  saved = json.loads((tmp_path / "run" / "config.json").read_text())
  assert saved["seed"] == 3
  rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  scored = [row for row in map(json.loads, rows) if row["split"] == "test"]
  assert [row["step"] for row in scored] == [12]
  assert "collapsed" not in trained.stderr
  first = json.loads((tmp_path / "run" / "results.json").read_text())
  # Without --config the workdir's own is taken, not that of the default file.
  cache = tmp_path / "cache"
  again = run("train", workdir, data, f"--compilation_cache={cache}")
  assert again.returncode == 0, again.stderr
  assert "Continuing from step 12" in again.stdout
  assert any(cache.iterdir())
  refused = run("train", workdir, data, "--noresume")
  assert refused.returncode == 1
  assert refused.stderr.startswith("error: --noresume: workdir")
  evaluated = run("evaluate", workdir, data, "--samples=2")
  assert evaluated.returncode == 0, evaluated.stderr
  second = json.loads((tmp_path / "run" / "results.json").read_text())
  assert second["samples"] == 2
  assert second["kl_z"] == pytest.approx(first["kl_z"], rel=1e-5)
  # A look at an earlier checkpoint leaves what the finished run has left.
  kept = contents(tmp_path / "run")
  early = run(
    *("evaluate", workdir, data, "--checkpoint=8", "--importance_samples=2")
  )
  assert early.returncode == 0, early.stderr
  now = contents(tmp_path / "run")
  assert kept == {name: now[name] for name in kept}
  assert now.keys() - kept.keys() == {
    "importance_step_8.json",
    "results_step_8.json",
    "samples_step_8.png",
  }
  for name in ("results_step_8.json", "importance_step_8.json"):
    assert json.loads(now[name])["step"] == 8
  *_, line = early.stdout.splitlines()
  assert "importance_step_8.json (of step 8; the run has 12)" in line


@pytest.mark.parametrize(
  ("module", "flags", "message"),
  [
    ("train", ["--config.sed=1"], "the config has no field"),
    ("train", ["--config=experiments/nope.py"], "no config file"),
    ("train", ["--config.factors=((16,0),)"], "config.factors[0]"),
    ("train", ["--wokdir=x"], "error: Unknown command line flag 'wokdir'"),
    ("evaluate", ["--samples=0"], "error: flag --samples=0: 0 is not"),
    ("judge", [], "error: --workdir is needed: the folder of a run"),
    ("train", ["stray"], "unexpected argument 'stray'"),
    ("evaluate", ["--workdir=nowhere"], "nowhere holds no run"),
    ("judge", ["--workdir=tests"], "error: workdir tests holds no run"),
    ("encode", ["--workdir=tests"], "error: --out is needed"),
  ],
)
def test_bad_flags_cost_one_sentence(module, flags, message):
  done = run(module, *flags)
  assert done.returncode != 0
  assert message in done.stderr
  assert "Traceback" not in done.stderr
