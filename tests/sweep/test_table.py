"""Which points have a row of the table."""

import json

import pytest

from experiments.sweeps import figure3_digits
from fmvae import sweep


@pytest.fixture
def point(tmp_path):
  """A point of 12 steps, whose run has left all but a result."""
  config = figure3_digits.get_config("smoke")
  point = sweep.plan.make(config, tmp_path).points[1]
  point.workdir.mkdir(parents=True)
  start = {"device": "cpu", "num_devices": 1, "cpu_cores": 2, "commit": "abc"}
  (point.workdir / "run.json").write_text(json.dumps({"starts": [start]}))
  for workdir in (point.workdir, point.pretrained):
    workdir.mkdir(parents=True, exist_ok=True)
    row = {"step": 2, "split": "train", "seconds": 1.0}
    (workdir / "metrics.jsonl").write_text(json.dumps(row))
  return point


def leave(point, name, **values):
  (point.workdir / name).write_text(json.dumps(values))


def test_a_point_has_a_row_with_the_result_of_its_last_step(point, tmp_path):
  assert sweep.table.row(point) is None
  leave(point, "results.json", step=8, bound=-30.0)
  assert sweep.table.row(point) is None
  assert sweep.table.write([point], tmp_path / "table.csv") == []
  assert sweep.table.summary(point) == "no result"
  leave(point, "results.json", step=12, bound=-20.0)
  found = sweep.table.row(point)
  assert (found["bound"], found["joint_steps"]) == (-20.0, 4)
  assert sweep.table.write([point], tmp_path / "table.csv") == [found]


def test_the_number_of_draws_is_told(point):
  for samples in (1, 10):
    leave(point, "results.json", step=12, bound=-20.0, samples=samples)
    assert sweep.table.row(point)["bound_samples"] == samples


def test_the_images_of_an_nll_are_told(point):
  leave(point, "results.json", step=12, bound=-20.0)
  found = {"nll": 19.0, "samples": 5_000, "images": 500, "nll_of_all": 18.5}
  leave(point, "importance.json", step=12, **found)
  row = sweep.table.row(point)
  names = ("nll", "nll_samples", "nll_images", "nll_of_all")
  assert tuple(row[name] for name in names) == (19.0, 5_000, 500, 18.5)
  assert "NLL 18.50" in sweep.table.summary(point)


def test_what_is_unused_is_told(point):
  found = {"apart": [3.14159, 1.0], "coinciding": [0, 2], "dead": [4, 7, 9]}
  leave(point, "results.json", step=12, bound=-20.0, diagnosis=found)
  row = sweep.table.row(point)
  assert (row["apart"], row["coinciding"], row["dead"]) == ("3.142 1", "0 2", 3)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_files_leave_a_gap(point, text, tmp_path):
  leave(point, "results.json", step=12, bound=-20.0, samples=1)
  for name in ("run.json", "metrics.jsonl", "importance.json"):
    (point.workdir / name).write_text(text or "x")
  (row,) = sweep.table.write([point], tmp_path / "table.csv")
  assert row["device"] == row["commit"] == row["seconds"] == row["nll"] == ""
  assert sweep.table.summary(point) == "bound -20.00"
  (point.workdir / "results.json").write_text(text)
  assert sweep.table.row(point) is None


def test_an_estimate_of_an_earlier_step_is_left_out(point):
  leave(point, "results.json", step=12, bound=-20.0)
  found = {"samples": 3, "nll": 19.0, "effective_samples": 1.5}
  for step, nll, effective in ((8, "", ""), (12, 19.0, 1.5)):
    leave(point, "importance.json", step=step, **found)
    row = sweep.table.row(point)
    assert (row["nll"], row["nll_effective_samples"]) == (nll, effective)
