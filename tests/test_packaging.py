"""The wheel has the programs; without the extra a sentence says what to do."""

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from fmvae import programs as commands
from launch import common

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  (path,) = WheelBuilder(str(ROOT)).build(
    directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]
  )
  with zipfile.ZipFile(path) as archive:
    yield archive


def test_files_of_the_wheel(wheel):
  names = set(wheel.namelist())
  tops = {name.partition("/")[0].partition("-")[0] for name in names}
  assert tops == {"fmvae"}
  bundled = "fmvae/bundled/"
  for folder in ("launch", "experiments", "experiments/sweeps"):
    for path in (ROOT / folder).glob("*.py"):
      assert bundled + path.relative_to(ROOT).as_posix() in names
  assert {"fmvae/py.typed", "fmvae/released/mnist/weights.npz"} <= names
  left_out = ("benchmarks", "report", "results", "studies", "__pycache__")
  assert not [n for n in names if set(left_out) & set(n.split("/"))]


def test_every_program_is_a_command(wheel):
  (path,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
  lines = wheel.read(path).decode().splitlines()
  programs = {
    file.stem
    for file in (ROOT / "launch").glob("*.py")
    if 'if __name__ == "__main__":' in file.read_text()
  }
  assert {"train", "encode"} <= programs
  assert set(lines[1:]) == {
    f"fmvae-{name} = fmvae.programs:{name}" for name in programs
  }
  assert all(callable(getattr(commands, name)) for name in programs)


def test_the_prior_alone_costs_jax_alone(wheel):
  (path,) = (n for n in wheel.namelist() if n.endswith("METADATA"))
  fields = email.message_from_bytes(wheel.read(path))
  needed = fields.get_all("Requires-Dist")
  always = {line.partition(">")[0] for line in needed if "extra" not in line}
  assert always == {"jax", "numpy"}


_WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Minimal:
  installed = {"fmvae", "launch", "jax", "jaxlib", "ml_dtypes", "numpy",
    "opt_einsum", "scipy", *sys.stdlib_module_names}

  @classmethod
  def find_spec(cls, name, path=None, target=None):
    top = name.partition(".")[0]
    if top in cls.installed or top[0] == "_":
      return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Minimal
import fmvae
print(callable(fmvae.prior.fit))
for attempt in ("fmvae.load", "fmvae.fit", "import fmvae.estimator",
                "import launch.train"):
  try:
    exec(attempt)
  except (ImportError, SystemExit) as error:
    print(error)
"""


def test_without_the_extra_the_prior_works_and_all_else_says_what_to_do():
  done = subprocess.run(
    [sys.executable, "-c", _WITHOUT],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  what = (
    r"\w+, which is not installed: pip install 'fmvae\[train\]', or -e "
    r"'\.\[train\]' in a clone"
  )
  wanted = (
    "True",
    f"fmvae.load needs {what}",
    f"fmvae.fit needs {what}",
    f"fmvae.estimator needs {what}",
    f"error: a program needs {what}",
  )
  for line, pattern in zip(done.stdout.splitlines(), wanted, strict=True):
    assert re.fullmatch(pattern, line), line


def test_a_command_finds_programs_and_configs_from_any_folder(tmp_path):
  start = "import sys; from fmvae.programs import train; train()"
  done = subprocess.run(
    [sys.executable, "-c", start, "--config", "experiments/digits.py:nonsense"],
    cwd=tmp_path,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert re.fullmatch(
    rf"error: --config={ROOT}/experiments/digits.py:nonsense: .*'nonsense'",
    done.stderr.strip(),
  )


def test_a_config_of_the_current_folder_comes_first(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "experiments").mkdir()
  (tmp_path / "experiments" / "own.py").touch()
  given = ["train", "--config=experiments/own.py:k=3", "--config=nothing.py"]
  given += ["--config", "experiments/shapes.py", "--workdir=launch/train.py"]
  found = common._with_own_files(given)
  assert found[:4] == given[:4]
  assert found[4:] == [str(ROOT / "experiments/shapes.py"), given[5]]
