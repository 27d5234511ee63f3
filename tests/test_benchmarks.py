"""The harness of the benchmarks; what they measure is not tested here."""

import subprocess
import sys

import pytest

from experiments.benchmarks.measure import Row, in_turn, ratio


def test_sides_take_turns():
  calls = []
  sides = {name: lambda name=name: calls.append(name) for name in "ab"}
  times = in_turn(sides, rounds=2, times=2)
  assert "".join(calls) == "aabb" + 2 * "aaabbb"  # one more that does not count
  assert {name: len(values) for name, values in times.items()} == {
    "a": 2,
    "b": 2,
  }
  assert ratio([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]


def test_a_row_says_whether_its_goal_is_met():
  row = Row("ours / theirs", [0.8, 0.7, 1.2], "", 0.9)
  assert row.met
  assert row.markdown("x") == (
    "| `x` | ours / theirs | 0.8 | 0.7 to 1.2 | at most 0.9: met |"
  )
  missed = Row("step", [2.0], "ms", 1.0)
  assert "| 2 ms |  | at most 1: **missed** |" in missed.markdown("x")
  assert Row("step", [2.0], "ms").met is None


def test_unknown_names_are_refused():
  done = subprocess.run(
    [sys.executable, "-m", "experiments.benchmarks", "--only=no_such"],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert "error: --only takes ['step28'" in done.stderr


def test_one_comparison_from_start_to_table(tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.benchmarks", "--only=waiting"),
      *("--rounds=1", f"--out={tmp_path / 'table.md'}"),
    ],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  table = (tmp_path / "table.md").read_text()
  assert table in done.stdout
  assert table.count("| `waiting` |") == 2
  assert "commit" in table
  assert "jax " in table


@pytest.mark.parametrize("pair", ["pair28", "pair64"])
def test_pytorch_takes_the_same_step(pair, monkeypatch):
  pytest.importorskip("torch", reason="PyTorch is in the extra 'benchmarks'")
  from experiments.benchmarks import training

  monkeypatch.setattr(
    training, "in_turn", lambda sides, *_: {name: [1.0] for name in sides}
  )
  monkeypatch.setattr(training, "side", lambda *_: None)
  check = {"pair28": training.step28, "pair64": training.step64}[pair]
  assert check(1)[0].values == [1.0]
