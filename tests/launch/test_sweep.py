"""A sweep as a user starts it: killed, continued, with a point that fails."""

import csv
import json
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments import digits
from experiments.studies.runs import kill_session
from fmvae import config as config_lib
from fmvae import experiment
from fmvae.model import pack
from fmvae.training import checkpoints, loop
from tests import quick
from tests.launch.test_launch import ROOT, run

# K = 1,600 is more than the 1,500 training images: that point must fail.
FLAGS = (
  "--config=experiments/sweeps/figure3_digits.py:smoke",
  "--config.seeds=(0,)",
  "--config.num_components=(1600,2)",
  "--config.runs.digits.init_encodings=1600",
  "--config.importance_samples=3",
)


# One point and the pre-training that it starts from.
ONE_POINT = (*FLAGS[:2], "--config.num_components=(2,)")


def start(*flags):
  return subprocess.Popen(
    [sys.executable, "-u", "-m", "launch.sweep", *flags],
    cwd=ROOT,
    env=quick.environment(),
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )


def test_a_killed_sweep_continues_and_a_failed_point_stops_none(
  prepared, tmp_path
):
  flags = (*FLAGS, f"--sweepdir={tmp_path}", f"--data_dir={prepared}")
  with start(*flags) as first:
    for line in first.stdout:
      if line.startswith("[1/6]"):
        break
    first.send_signal(signal.SIGKILL)
  (pretrained,) = (tmp_path / "pretrained").iterdir()
  finished = (pretrained / "metrics.jsonl").stat().st_mtime_ns

  second = run("sweep", *flags)
  # What the killed sweep had left running may have ended by itself.
  assert re.match("[1-5] of 6 tasks were finished before", second.stdout)
  assert (pretrained / "metrics.jsonl").stat().st_mtime_ns == finished
  assert second.returncode == 1
  assert "2 tasks failed" in second.stderr
  assert "K = 1600 components, more than the 1500" in second.stderr
  assert "needs digits/seed0/K1600, which failed" in second.stderr
  assert "Traceback" not in second.stderr
  with (tmp_path / "table.csv").open() as file:
    plain, row = csv.DictReader(file)
  assert (plain["K"], row["K"]) == ("", "2")
  parts = [float(row[name]) for name in ("kl_z", "kl_r", "bound")]
  assert float(row["reconstruction"]) == pytest.approx(sum(parts), abs=1e-3)
  assert float(row["nll"]) < -float(row["bound"]) + 1
  assert plain["nll_samples"] == row["nll_samples"] == "3"
  assert float(row["acc"]) > 0
  assert row["split"] == "official"
  assert row["binarisation"] == "threshold 0.5"
  assert row["network"] == "mlp hidden=128-128"
  assert float(row["seconds"]) > 0
  assert float(row["pretrain_seconds"]) == float(plain["seconds"])
  assert (tmp_path / "figure3.png").stat().st_size > 10_000


def wait_for(folder, pattern):
  """Returns the moment that a file is there."""
  end = time.monotonic() + 120
  while not any(folder.glob(pattern)):
    assert time.monotonic() < end, f"no {pattern}"
    time.sleep(0.001)


def table(folder):
  """The rows of a sweep's table, but for what each sweep has of its own."""
  with (folder / "table.csv").open() as file:
    rows = list(csv.DictReader(file))
  own = ("seconds", "pretrain_seconds", "device", "commit")
  return [{k: v for k, v in row.items() if k not in own} for row in rows]


def test_a_sweep_killed_as_a_result_appears_ends_as_if_it_had_not_been(
  prepared, tmp_path
):
  data_dir = f"--data_dir={prepared}"
  killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
  with start(*ONE_POINT, data_dir, f"--sweepdir={killed}") as first:
    wait_for(killed, "pretrained/*/results.json")
    kill_session(first)
  for folder in (killed, undisturbed):
    done = run("sweep", *ONE_POINT, data_dir, f"--sweepdir={folder}")
    assert done.returncode == 0, done.stderr
  assert [row["K"] for row in table(killed)] == ["", "2"]
  assert table(killed) == table(undisturbed)


def test_points_trained_together_make_a_table(prepared, tmp_path):
  done = run(
    "sweep",
    *(ONE_POINT[0], "--config.seeds=(0,1)", "--config.num_components=(2,3)"),
    *("--together=4", f"--data_dir={prepared}", f"--sweepdir={tmp_path}"),
  )
  assert done.returncode == 0, done.stderr
  rows = table(tmp_path)
  found = sorted((row["seed"], row["K"]) for row in rows)
  assert found == [(seed, k) for seed in "01" for k in ("", "2", "3")]
  for row in rows:
    parts = [float(row[name]) for name in ("kl_z", "kl_r", "bound")]
    assert float(row["reconstruction"]) == pytest.approx(sum(parts), abs=1e-3)
  assert len({row["bound"] for row in rows}) == 6
  first, *others = (
    tmp_path / f"digits/seed{seed}/K{k}/log.txt" for seed in "01" for k in "23"
  )
  assert all(log.read_text() == f"see {first}\n" for log in others)


@pytest.mark.parametrize("prior", ["factorial_mixture", "gaussian_mixture"])
def test_a_shared_pretraining_changes_nothing(prior, prepared, tmp_path):
  config = digits.get_config("smoke")
  if prior != config.prior:  # whose params the pre-training knows nothing of
    config.prior, config.steps.prior = prior, 0
  devices = jax.devices()[:1]
  states = []
  for name, shared in (("whole", False), ("shared", True)):
    exp = experiment.build(config, data_dir=prepared)
    initial = None
    if shared:
      first = experiment.build(
        config_lib.pretraining(config), data_dir=prepared
      )
      loop.prepare(first, tmp_path / "first", devices)
      loop.train(first, tmp_path / "first", devices)
      initial = checkpoints.restore_pretrained(exp, tmp_path / "first")
    loop.prepare(exp, tmp_path / name, devices)
    loop.train(exp, tmp_path / name, devices, initial)
    with checkpoints.Checkpoints(tmp_path / name) as saved:
      like = experiment.init(exp)
      states.append(saved.restore(like).state)
  whole, shared = map(pack, states)
  jax.tree.map(np.testing.assert_array_equal, whole, shared)
  results = [
    json.loads((tmp_path / name / "results.json").read_text())
    for name in ("whole", "shared")
  ]
  assert results[0] == results[1]


def test_another_or_unfinished_pretraining_is_refused(prepared, tmp_path):
  config = digits.get_config("smoke")
  exp = experiment.build(config, data_dir=prepared)
  with pytest.raises(ValueError, match="holds no run"):
    checkpoints.restore_pretrained(exp, tmp_path)
  before = config_lib.pretraining(config)
  before.learning_rate = 0.1
  first = experiment.build(before, data_dir=prepared)
  loop.prepare(first, tmp_path, jax.devices()[:1])
  with pytest.raises(ValueError, match=r"learning_rate: 0.1 there"):
    checkpoints.restore_pretrained(exp, tmp_path)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (
      ["--config.num_components=(-1,)"],
      "config.num_components must be different",
    ),
    (
      ["--engine=slurm", "--slurm=partition"],
      "--slurm must hold name=value, got 'partition'",
    ),
    (["--config.runs.digits.batch_size=0"], "config.batch_size"),
    (["stray"], "unexpected argument 'stray'"),
  ],
)
def test_bad_flags_cost_one_sentence(flags, message, prepared, tmp_path):
  done = run(
    "sweep", *flags, f"--data_dir={prepared}", f"--sweepdir={tmp_path / 'new'}"
  )
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr
