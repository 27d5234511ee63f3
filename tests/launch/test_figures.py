"""The program that draws figures, as a user starts it."""

import csv
import json

import jax
import pytest

from experiments import digits
from fmvae import experiment, figures
from fmvae.training import checkpoints, loop
from tests.launch.test_launch import python, run

# Several command lines in one process: starting one takes seconds.
MANY = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from launch import figures
ends = []
for line in json.loads(sys.argv[1]):
  with flagsaver.flagsaver():
    try:
      ends.append(figures.main(flags.FLAGS(["figures", *line])))
    except SystemExit as end:
      ends.append(end.code)
print(json.dumps(ends))
"""


def say_and_end(*lines):
  """What the program prints, and the end of each command line, None if well."""
  done = python("-c", MANY, json.dumps(lines))
  assert done.returncode == 0, done.stderr
  *said, ends = done.stdout.splitlines()
  return said, json.loads(ends)


def how_they_end(*lines):
  """What the program says at the end of each command line, None if well."""
  return say_and_end(*lines)[1]


def is_png(path):
  return path.read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
  """The workdir of a run of twelve steps, and the flags that name it."""
  workdir = tmp_path_factory.mktemp("finished") / "run"
  flags = (f"--workdir={workdir}", f"--data_dir={prepared}")
  done = run("train", "--config=experiments/digits.py:smoke", *flags)
  assert done.returncode == 0, done.stderr
  return workdir, flags


@pytest.fixture
def table(tmp_path):
  row = {"run": "a", "dataset": "mnist", "split": "", "binarisation": "static"}
  row |= {"network": "mlp", "seed": 0, "pretrain_steps": 1, "prior_steps": 1}
  row |= {"joint_steps": 1, "reconstruction": -70.0, "kl_z": 25.0, "kl_r": 1.0}
  path = tmp_path / "table.csv"
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, [*row, "K", "bound"])
    writer.writeheader()
    writer.writerows(row | {"K": k, "bound": -97 + k / 4} for k in (1, 2, 4))
  return path


def test_a_figure_of_a_run(finished):
  workdir, flags = finished
  done = run("figures", *flags, "--figure=4")
  assert done.returncode == 0, done.stderr
  assert done.stdout == f"written to {workdir / 'figure4.png'}\n"
  assert is_png(workdir / "figure4.png")


def test_a_figure_of_a_table_and_those_of_named_factors(finished, table):
  _, flags = finished
  said, (end, *ends) = say_and_end(
    (f"--table={table}", "--figure=3"),
    *((*flags, f"--figure={name}") for name in (1, 6, 9, 10)),
  )
  assert end is None
  assert said == [f"written to {table.with_name('figure3.png')}"]
  assert is_png(table.with_name("figure3.png"))
  # The other figures need names.
  assert ends == 4 * [
    "error: this figure iterates over named factors, of which the run has "
    "none: its config.dataset.labels is empty"
  ]


def test_a_figure_that_there_is_none_of():
  done = run("figures", "--figure=7")
  assert done.returncode != 0
  assert "value should be one of <1|3|4|5|6|8|9|10|samples>" in done.stderr
  assert "Traceback" not in done.stderr


def test_options_of_a_figure_of_a_run(finished, tmp_path):
  workdir, flags = finished
  by_training = (workdir / "samples.png").read_bytes()
  (workdir / "samples.png").unlink()
  four = (*flags, "--figure=4")
  all_six, two = tmp_path / "six.png", tmp_path / "two.png"
  best, earlier = tmp_path / "best.png", tmp_path / "earlier.png"
  assert how_they_end(
    (*flags, "--figure=samples"),
    (*four, f"--out={all_six}"),
    (*four, "--components=3,0", f"--out={two}"),
    (*four, "--checkpoint=best", f"--out={best}"),
    (*four, "--checkpoint=8", f"--out={earlier}"),
    (*four, "--checkpoint=9"),
    (*four, "--components=20"),
    (*four, "--components=3,a"),
    (*four, "--factor=1"),
    (*four, "--out=nowhere/a.png"),
    (*four, "--out=a.xyz"),
    (*flags, "--figure=samples", "--components=3"),
    (*four, "--table=a.csv"),
  ) == [
    None,
    None,
    None,
    None,
    None,
    "error: checkpoint must be 'newest', 'best' or one of the steps "
    "[8, 12], got 9",
    "error: components of factor 0 must be from 0 to 19, got [20]",
    "error: --components must be numbers such as 3,17,20, got 3,a",
    "error: factor must be from 0 to 0, got 1",
    "error: --out is in the folder nowhere, which is not there",
    "error: --out must end in .png, .pdf or .svg, got a.xyz",
    "error: --components and --factor are for --figure=4 alone",
    "error: --table is for --figure=3 alone",
  ]
  assert (workdir / "samples.png").read_bytes() == by_training
  assert is_png(all_six)
  assert is_png(two)
  assert all_six.read_bytes() != two.read_bytes()
  assert best.read_bytes() == all_six.read_bytes() != earlier.read_bytes()


def test_errors_of_tables_and_runs(prepared, tmp_path, table):
  content = table.read_text().splitlines()
  broken = {
    "keys": b"K,bound\n1,-97\n",
    "empty": b"",
    "picture": b"\x89PNG\r\n",
    "twice": "\n".join([*content, content[-1]]).encode(),
  }
  for name, text in broken.items():
    (tmp_path / name).write_bytes(text)
  exp = experiment.build(digits.get_config("smoke"), data_dir=prepared)
  lines = [("--figure=3", f"--table={tmp_path / name}") for name in broken]
  for step in (3, 4):
    workdir = tmp_path / str(step)
    loop.prepare(exp, workdir, devices=jax.devices()[:1])
    with checkpoints.Checkpoints(workdir, keep=1) as saved:
      state = experiment.init(exp)
      saved.save(checkpoints.Saved(state.replace(step=state.step + step)))
    lines.append(
      ("--figure=4", f"--workdir={workdir}", f"--data_dir={prepared}")
    )
  ends = how_they_end(
    *lines,
    ("--figure=3", "--table=no.csv"),
    ("--figure=3",),
    ("--figure=4",),
    ("--figure=4", "--workdir=launch"),
    ("--figure=4", "--workdir=nowhere"),
    ("--figure=3", "stray"),
    (),
  )
  starts = [
    "error: rows must have the key 'run', got ['K', 'bound']",
    "error: rows must hold at least one result, got none",
    f"error: --table {tmp_path / 'picture'} is not a CSV file",
    "error: rows of run 'a' hold K = '4', seed 0 twice",
    f"error: {tmp_path / '3'}: the run is at step 3; its mixture begins "
    "after step 4,",
    f"error: {tmp_path / '4'}: the run is at step 4; its mixture begins "
    "after step 4,",
    "error: --table no.csv is not there",
    "error: --table is needed: a CSV file that launch.sweep has made.",
    "error: --workdir is needed: the folder of a run that launch.train has",
    "error: workdir launch holds no run",
    "error: workdir nowhere holds no run",
    "error: unexpected argument 'stray'",
    "error: --figure is needed: <1|3|4|5|6|8|9|10|samples>: The number of",
  ]
  for end, start in zip(ends, starts, strict=True):
    assert end.startswith(start)
    assert "\n" not in end
  assert not (tmp_path / "4" / "figure4.png").exists()


def test_every_figure_says_what_it_shows():
  for name in figures.OF_A_RUN | figures.OF_A_TABLE:
    said = figures.describe(name)
    assert said
    first = figures.get(name).__doc__.splitlines()[0]
    assert first.endswith(f": {said}.")
