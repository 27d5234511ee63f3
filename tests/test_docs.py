"""The scripts of the pages run, with few steps."""

import pathlib
import runpy

import jax
import pytest
from matplotlib import pyplot as plt

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
  ("script", "arguments", "pictures"),
  [
    ("edit_a_picture", ["80", "4"], ["edited", "samples"]),
    ("prior_in_jax", ["2"], ["prior_in_jax"]),
  ],
)
def test_script(script, arguments, pictures, tmp_path, monkeypatch, capsys):
  path = DOCS / f"{script}.py"
  monkeypatch.setattr("sys.argv", [str(path), *arguments, str(tmp_path)])
  with jax.numpy_rank_promotion("allow"):  # which a user's JAX does
    runpy.run_path(str(path), run_name="__main__")
  capsys.readouterr()
  assert sorted(p.stem for p in tmp_path.iterdir()) == pictures
  for name in pictures:
    written = plt.imread(tmp_path / f"{name}.png")
    shown = plt.imread(DOCS / "pictures" / f"{name}.png")
    assert written.shape[:2] == shown.shape[:2], f"run python docs/{script}.py"
