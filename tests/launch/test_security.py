"""A workdir and a data set are data: nothing in them is run."""

import json
import shutil

from tests.launch.test_launch import python, run

# What launch.evaluate does, in a process that dies where anything is unpickled.
_GUARDED = """
import sys
from absl import app
from launch import evaluate

def guard(event, arguments):
  if event == "pickle.find_class":
    raise RuntimeError(f"unpickles {arguments}")

sys.addaudithook(guard)
app.run(evaluate.main)
"""


def test_evaluation_runs_no_code_from_a_workdir_or_a_data_set(
  prepared, tmp_path, monkeypatch
):
  copy, workdir = tmp_path / "data", tmp_path / "run"
  shutil.copytree(prepared, copy)
  flags = (f"--workdir={workdir}", f"--data_dir={copy}")
  done = run("train", "--config=experiments/digits.py:smoke", *flags)
  assert done.returncode == 0, done.stderr

  # A module in each folder, on Python's path, and metadata that names it, as
  # TFDS names the class of a feature.
  marker = tmp_path / "was_run"
  (features,) = copy.rglob("features.json")
  text = features.read_text()
  assert "tensorflow_datasets.core.features" in text
  for folder in (features.parent, workdir):
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
  features.write_text(text.replace("tensorflow_datasets.core.features", "evil"))
  record = json.loads((workdir / "run.json").read_text())
  (workdir / "run.json").write_text(json.dumps(record | {"module": "evil"}))
  monkeypatch.setenv("PYTHONPATH", f"{features.parent}:{workdir}")

  done = python("-c", _GUARDED, *flags)
  assert done.returncode == 0, done.stderr
  assert "step 12, test set" in done.stdout
  assert not marker.exists()
