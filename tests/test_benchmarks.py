"""The harness of the benchmarks; what they measure is not tested here."""

import subprocess
import sys

import pytest

from experiments.benchmarks.measure import (
  Row,
  in_turn,
  line,
  ratio,
  read,
  replace,
)


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


SETTING = {"machine": "a machine", "packages": "jax 1", "commit": "abc"}


def test_a_line_says_whether_its_goal_is_met():
  row = Row("ours / theirs", [0.8, 0.7, 1.2], "", 0.9)
  assert line(row.record("x", SETTING)) == (
    "| `x` | ours / theirs | 0.8 | 0.7 to 1.2 | 3 | at most 0.9: met |"
  )
  missed = Row("step", [2.0], "ms", 1.0).record("x", SETTING)
  assert line(missed).endswith("| 2 ms |  | 1 | at most 1: **missed** |")
  assert line(Row("step", [2.0]).record("x", SETTING)).endswith("| 1 |  |")


def test_rows_of_other_comparisons_are_kept(tmp_path):
  path = tmp_path / "table.csv"
  first = [
    Row("old", [float(i)]).record(name, SETTING)
    for i, name in enumerate("abbc")
  ]
  replace(path, first)
  assert read(path) == first
  again = [Row("new", [1e6, 0.1], "ms", 2).record("b", SETTING)]
  replace(path, again)
  assert read(path) == [first[0], *again, first[3]]
  last = [Row("new", [2.0]).record("d", SETTING)]
  replace(path, last)
  assert read(path) == [first[0], *again, first[3], *last]


def test_a_file_with_other_columns_is_refused(tmp_path):
  path = tmp_path / "table.csv"
  path.write_text("a,b\n1,2\n")
  with pytest.raises(ValueError, match="must have the columns comparison"):
    read(path)


def run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "experiments.benchmarks", *arguments],
    capture_output=True,
    text=True,
  )


def test_unknown_names_are_refused():
  done = run("--only=no_such")
  assert done.returncode == 1
  assert "error: --only takes ['step28'" in done.stderr


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path):
  folder = tmp_path / "no_such"
  done = run(f"--out={folder / 'table.csv'}")
  assert done.returncode == 1
  assert done.stderr.endswith(f"there is no folder {folder}\n")
  assert not done.stdout


def test_one_comparison_from_start_to_table(tmp_path):
  path = tmp_path / "table.csv"
  other = Row("kept", [1.0]).record("step28", SETTING)
  replace(path, [other])
  done = run("--only=waiting", "--rounds=1", f"--out={path}")
  assert done.returncode == 0, done.stderr
  kept, *rows = read(path)
  assert kept == other
  assert [row["comparison"] for row in rows] == 2 * ["waiting"]
  assert all(line(row) in done.stdout for row in rows)
  assert "jax " in rows[0]["packages"]
  for said in ("machine", "packages", "commit"):
    assert rows[0][said] in done.stdout


@pytest.mark.parametrize("pair", ["28x28", "64x64", "MLP", "shapes", "digits"])
def test_pytorch_takes_the_same_step(pair):
  pytest.importorskip("torch", reason="PyTorch is in the extra 'benchmarks'")
  from experiments.benchmarks import programs, training

  known = {
    "28x28": (training.pair28(((64, 32),)), None),
    "64x64": (training.pair64(), None),
    "MLP": programs.configs()["MLP pair, K = 128, batch 64"],
    "shapes": programs.configs()["shapes, width 16"],
    "digits": programs.configs()["digits"],
  }
  training.same_step(*known[pair])  # raises AssertionError where it differs
