"""Named factors from the command line: train, figures, judge, questionnaire."""

import json

import jax
import pytest

from experiments import digits
from fmvae import experiment
from fmvae.training import checkpoints, loop
from tests.launch.test_figures import how_they_end, is_png
from tests.launch.test_launch import run

SMALL = (
  "--config=experiments/digits.py:smoke",
  '--config.dataset.labels=((0,"label",(3,1,4)),)',
  "--config.dataset.labelled_fraction=0.5",
  "--config.factors=((4,3),(6,5),(6,2))",
  "--config.dataset.flips",
  "--config.dataset.shifts=1",
  "--config.draw_named=0.5",
  "--config.independence=10",
  "--config.obedience=10",
)


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
  """A run with a named factor, the flags that name it, and what it printed."""
  workdir = tmp_path_factory.mktemp("named") / "run"
  flags = (f"--workdir={workdir}", f"--data_dir={prepared}")
  done = run("train", *SMALL, *flags)
  assert done.returncode == 0, done.stderr
  return workdir, flags, done.stdout


def test_training_says_what_is_named_and_reports_on_it(finished):
  workdir, _, printed = finished
  assert "uci_digits: 1,500 training and 297 test images" in printed
  assert "factor 0 is label (3, 1, 4), labelled on" in printed
  assert "assigned label: accuracy" in printed
  assert "label, assigned in each column:" in printed
  result = json.loads((workdir / "results.json").read_text())
  assert (
    result["balanced_accuracy/label"]
    == (result["named"]["label"]["balanced_accuracy"])
  )
  rows = [
    json.loads(row)
    for row in (workdir / "metrics.jsonl").read_text().split("\n")[:-1]
  ]
  joint = [r for r in rows if r["phase"] == "joint" and r["split"] == "train"]
  assert {row["delta"] for row in joint} == {1000}
  assert min(row["label_log_prob"] for row in joint) < 0
  for cost in ("reader_cost", "recogniser_cost", "obedience_cost"):
    assert all(row[cost] > 0 for row in joint)


def test_figures(finished):
  workdir, flags, _ = finished
  names = (1, 5, 6, 8, 9, 10)
  ends = how_they_end(*((*flags, f"--figure={name}") for name in names))
  assert ends == [None] * len(names)
  for name in names:
    assert is_png(workdir / f"figure{name}.png")


def test_the_judge(finished):
  workdir, flags, _ = finished
  done = run("judge", *flags, "--steps=20", "--pictures=30")
  assert done.returncode == 0, done.stderr
  assert "the classifier on 30 generated pictures" in done.stdout
  record = json.loads((workdir / "judge.json").read_text())
  counts = record["generated"]["label"]["counts"]
  assert sum(map(sum, counts)) == 30
  assert record["real"]["label"]["names"] == ["3", "1", "4"]
  assert "with the unnamed z of another image" in done.stdout
  assert 0 <= record["swapped"]["label"]["leak"] <= 1


def test_what_the_factors_tell(finished):
  workdir, flags, _ = finished
  done = run("factors", *flags)
  assert done.returncode == 0, done.stderr
  assert is_png(workdir / "factors.png")
  record = json.loads((workdir / "factors.json").read_text())
  assert record["factors"] == ["label", "1", "2"]
  assert record["features"] == ["label"]
  assert len(record["nmi"]) == 3
  assert f"means: mig {record['means']['mig']:.3f}" in done.stdout


def test_the_questionnaire(finished, tmp_path):
  workdir, flags, _ = finished
  answers = tmp_path / "answers.json"
  scoring = run("questionnaire", *flags, f"--answers={answers}")
  assert scoring.returncode == 1
  assert "export a questionnaire first" in scoring.stderr
  (workdir / "questionnaire_key.json").write_text("{")
  scoring = run("questionnaire", *flags, f"--answers={answers}")
  assert scoring.returncode == 1
  assert "questionnaire_key.json cannot be read" in scoring.stderr
  done = run("questionnaire", *flags, "--pictures=5")
  assert done.returncode == 0, done.stderr
  assert (workdir / "questionnaire.html").read_text().count("<img") == 5
  key = json.loads((workdir / "questionnaire_key.json").read_text())
  answers.write_text(
    json.dumps(
      {
        "questionnaire": key["questionnaire"],
        "rater": "ann",
        "answers": key["intended"],
      }
    )
  )
  scoring = run("questionnaire", *flags, f"--answers={answers}")
  assert scoring.returncode == 0, scoring.stderr
  assert "label: accuracy 100.0 %" in scoring.stdout
  scores = json.loads((workdir / "questionnaire_scores.json").read_text())
  assert scores["raters"] == {"ann": [1.0]}


def test_without_named_factors(prepared, tmp_path):
  flags = (f"--workdir={tmp_path}", f"--data_dir={prepared}")
  exp = experiment.build(digits.get_config("smoke"), data_dir=prepared)
  loop.prepare(exp, tmp_path, devices=jax.devices()[:1])
  with checkpoints.Checkpoints(tmp_path, keep=1) as saved:
    state = experiment.init(exp)
    saved.save(checkpoints.Saved(state.replace(step=state.step + 12)))
  for program in ("judge", "questionnaire"):
    done = run(program, *flags)
    assert done.returncode == 1
    assert "config.dataset.labels is empty" in done.stderr
    assert "Traceback" not in done.stderr
