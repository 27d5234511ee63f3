"""Runs whose steps are taken in one program, against runs by themselves."""

import json

import jax
import numpy as np
import pytest

from fmvae import config as config_lib
from fmvae.model import train_step
from fmvae.training import loop, processes
from fmvae.training.run import Start
from tests.training.test_loop import (
  StopAfter,
  final_state,
  newest,
  rows,
  small,
  train,
)

RUNS = {"seed0": (0, 3), "seed1": (1, 5)}  # seed and K
NUM_DEVICES = 2


@pytest.fixture(scope="module")
def experiments(prepared):
  return {
    name: small(prepared, seed=seed, factors=((16, k),))
    for name, (seed, k) in RUNS.items()
  }


@pytest.fixture(scope="module")
def alone(experiments, tmp_path_factory):
  """The folder of runs by themselves, of 4 steps a phase."""
  folder = tmp_path_factory.mktemp("alone")
  for name, exp in experiments.items():
    train(exp, folder / name, NUM_DEVICES)
  return folder


def train_together(experiments, folder, **options):
  devices = jax.devices()[:NUM_DEVICES]
  starts = [Start(exp, folder / name) for name, exp in experiments.items()]
  for start in starts:
    loop.prepare(start.experiment, start.workdir, devices)
  return loop.train_together(starts, devices, **options)


def assert_same_runs(experiments, folder, alone):
  """Up to rounding, in files of the same names."""
  for name, exp in experiments.items():
    here, there = folder / name, alone / name
    assert {p.name for p in here.iterdir()} == {p.name for p in there.iterdir()}
    for file in ("config.json", "data.json"):
      assert (here / file).read_text() == (there / file).read_text()
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
      final_state(exp, here),
      final_state(exp, there),
    )
    for split in ("train", "test"):
      for x, y in zip(rows(here, split), rows(there, split), strict=True):
        assert all(x.pop(key) == y.pop(key) for key in ("phase", "split"))
        assert x == pytest.approx(y, rel=1e-3)
    results, expected = (
      json.loads((place / "results.json").read_text())
      for place in (here, there)
    )
    assert results.keys() == expected.keys()
    assert results["bound"] == pytest.approx(expected["bound"], rel=1e-4)


def test_runs_trained_together_are_the_runs_by_themselves(
  experiments, alone, tmp_path, capsys
):
  results = train_together(experiments, tmp_path)
  assert_same_runs(experiments, tmp_path, alone)
  for name, result in zip(experiments, results, strict=True):
    written = json.loads((tmp_path / name / "results.json").read_text())
    assert written["bound"] == result.bound
  said = capsys.readouterr().out
  assert "seed0: step 4 (pretrain), test set: bound" in said
  assert "seed1:\nstep 12, test set: bound" in said


def test_a_run_goes_on_by_itself_and_the_reverse(experiments, alone, tmp_path):
  with pytest.raises(processes.Stopped, match="after step 6 of 12"):
    train_together(
      experiments, tmp_path, steps_per_call=2, signals=StopAfter(3)
    )
  steps = [newest(e, tmp_path / n).state.step for n, e in experiments.items()]
  assert steps == [6, 6]
  with pytest.raises(processes.Stopped, match="after step 9 of 12"):
    train(experiments["seed1"], tmp_path / "seed1", 2, signals=StopAfter(3))
  # The one that is behind goes to step 8 and 9, then both to 10 and 12.
  signals = StopAfter()
  train_together(experiments, tmp_path, steps_per_call=2, signals=signals)
  assert signals.calls == [1, 2, 3, 4]
  assert_same_runs(experiments, tmp_path, alone)


def test_a_run_that_fails_leaves_the_others_whole(experiments, alone, tmp_path):
  bad = final_state(experiments["seed1"], alone / "seed1").key

  def broken(model, phase, state, batch, axis_name):
    new, info = train_step(model, phase, state, batch, axis_name)
    is_bad = (jax.random.key_data(state.key) == bad).all() & (state.step == 5)
    factor = jax.numpy.where(is_bad, np.nan, 1.0)
    params = jax.tree.map(lambda x: factor * x, new.params)
    return new.replace(params=params), info

  message = "^seed1: step 6: params not finite. The state of step 5 is saved"
  with pytest.raises(FloatingPointError, match=message):
    train_together(experiments, tmp_path, step=broken)
  whole = {"seed0": experiments["seed0"]}
  assert_same_runs(whole, tmp_path, alone)
  assert newest(experiments["seed1"], tmp_path / "seed1").state.step == 5
  assert not (tmp_path / "seed1" / "results.json").exists()


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"learning_rate": 0.1}, r"config.learning_rate = 0.0005 and 0.1"),
    ({"network.hidden": (8,)}, r"config.network.hidden = \[16\] and \[8\]"),
    (
      {"factors": ((8, 3), (8, 3))},
      "agree on all but seed and K, got config.f",
    ),
    ({"patience": 2}, "config.patience = 2: such a run is trained by itself"),
    ({"independence": 1.0}, "config.independence = 1.0: such a run is trained"),
    ({"prior": "vamp"}, "config.prior = 'vamp': such a run is trained by it"),
    (
      {"dataset.labels": ((0, "digit"),)},
      "config.dataset.labels = .* by itsel",
    ),
  ],
)
def test_what_cannot_be_trained_together_is_named(experiments, fields, message):
  first = experiments["seed0"].config
  other = config_lib.ConfigDict(first.to_dict())
  other.update_from_flattened_dict(fields)
  loop.check_together([other])
  with pytest.raises(ValueError, match=message):
    loop.check_together([first, other])
