"""What a process that was killed leaves in a folder."""

import os
import time

from fmvae import data, storage


def age(path):
  then = time.time() - 60
  os.utime(path, (then, then))


def test_only_what_nobody_writes_is_cleared(tmp_path):
  left = tmp_path / ".samples.123.partial.png"
  mine, new = tmp_path / ".notes.2024.md", tmp_path / ".table.5.partial.csv"
  for path in (left, mine, new):
    path.write_text("half")
  with storage.replacing(tmp_path / "samples.png") as writing:
    writing.write_text("whole")
    for path in (left, mine, writing):
      age(path)
    storage.clear_partial(tmp_path)
    assert writing.exists()
    assert not left.exists()
    assert mine.exists()
    assert new.exists()  # its process may be about to hold it
  assert (tmp_path / "samples.png").read_text() == "whole"
  assert sorted(tmp_path.iterdir()) == [mine, new, tmp_path / "samples.png"]


def test_a_new_preparation_clears_one_that_was_killed(tmp_path):
  folder = tmp_path / "uci_digits"
  left = folder / "incomplete.ABCDEF_1.0.0"
  left.mkdir(parents=True)
  (left / "part").write_text("half")
  data.load("uci_digits", "test", data_dir=tmp_path)
  names = {path.name for path in folder.iterdir()}
  assert names == {"1.0.0", ".lock"}
  kept = folder / "1.0.0" / ".decoded-1-train.123.partial.npz"
  kept.write_text("half")
  age(kept)
  data.load("uci_digits", "train", data_dir=tmp_path)
  assert not kept.exists()
