"""Files of a run that are damaged, and the lock on its folder."""

import json

import pytest

from fmvae import storage
from fmvae.training import records


@pytest.mark.parametrize("text", ["", "{", "[]", '{"starts": 3}', "null"])
def test_a_damaged_run_json_is_set_aside(text, tmp_path):
  (tmp_path / "run.json").write_text(text)
  records.write_start(tmp_path, seed=0, step=7)
  record = json.loads((tmp_path / "run.json").read_text())
  assert [start["step"] for start in record["starts"]] == [7]
  assert (tmp_path / "run.json.unreadable").read_text() == text


@pytest.mark.parametrize("text", ["", '{"seed": 1', "[1, 2]", "3"])
def test_a_damaged_config_json_is_named(text, tmp_path):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(ValueError, match=r"config.json cannot be read \(.*\)"):
    records.read_config(tmp_path)


def test_a_lock_is_not_taken_through_a_link(tmp_path):
  target = tmp_path / "precious"
  target.write_text("kept")
  folder = tmp_path / "run"
  folder.mkdir()
  (folder / ".lock").symlink_to(target)
  with pytest.raises(OSError, match="symbolic link"), storage.locked(folder):
    pass
  assert target.read_text() == "kept"


def test_a_lock_holds_and_is_let_go(tmp_path):
  with storage.locked(tmp_path):
    assert storage.is_locked(tmp_path)
  assert not storage.is_locked(tmp_path)
