"""Files of a run that are damaged, and the lock on its folder."""

import json

import pytest

from fmvae import config as config_lib
from fmvae import storage
from fmvae.experiment import DataSpec
from fmvae.training import records

SPEC = DataSpec((8, 8, 1), 10, 2, ())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"starts": 3}', "null"])
def test_a_damaged_run_json_is_set_aside(text, tmp_path):
  (tmp_path / "run.json").write_text(text)
  records.write_start(tmp_path, seed=0, step=7)
  record = json.loads((tmp_path / "run.json").read_text())
  assert [start["step"] for start in record["starts"]] == [7]
  assert (tmp_path / "run.json.unreadable").read_text() == text


@pytest.mark.parametrize(
  "text", ["", '{"seed": 1', "[1, 2]", "3", "[" * 100_000]
)
def test_a_damaged_config_json_is_named(text, tmp_path):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(ValueError, match=r"config.json cannot be read \(.*\)"):
    records.read_config(tmp_path)


@pytest.mark.parametrize(
  "name",
  ["config.json", "data.json", "metrics.jsonl", "results.json", "run.json"],
)
def test_a_folder_in_the_place_of_a_file_is_named(name, tmp_path):
  (tmp_path / name).mkdir()
  for look in (records.read_config, hold):
    with pytest.raises(ValueError, match=f"/{name} is a folder, which no run"):
      look(tmp_path)


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", "unreadable"])
def test_a_file_in_the_place_of_a_folder_is_named(name, tmp_path):
  (tmp_path / name).write_text("")
  for look in (records.read_config, hold):
    with pytest.raises(ValueError, match=f"/{name} is a file, which no run"):
      look(tmp_path)


def test_a_run_from_before_a_field_has_its_default(tmp_path):
  config = config_lib.default().copy_and_resolve_references()
  with config.unlocked():
    del config.patience, config.dataset.validation
  records.write_config(tmp_path, config)
  (tmp_path / "checkpoints" / "4").mkdir(parents=True)
  assert records.flat(records.read_config(tmp_path)) == (
    records.flat(config_lib.default())
  )
  hold(tmp_path)  # it goes on
  with config.unlocked():
    del config.seed  # which it always had
  records.write_config(tmp_path, config)
  with pytest.raises(ValueError, match=r"config\.seed"):
    hold(tmp_path)


def hold(workdir, **fields):
  config = config_lib.default()
  config.update(fields)
  with records.held(workdir, config, SPEC):
    assert storage.is_locked(workdir)


@pytest.mark.parametrize("left", ["checkpoints/4", "unreadable/0_step_4"])
def test_a_run_that_left_no_state_does_not_block_its_workdir(left, tmp_path):
  hold(tmp_path, seed=1)
  (tmp_path / "metrics.jsonl").write_text("{}")
  (tmp_path / "checkpoints").mkdir()
  hold(tmp_path, seed=2)
  assert records.read_config(tmp_path).seed == 2
  (tmp_path / "config.json").write_text("{")  # nor does half a config
  hold(tmp_path, seed=2)
  with (
    storage.locked(tmp_path),
    pytest.raises(storage.InUseError, match="another run is at work"),
  ):
    hold(tmp_path, seed=3)
  (tmp_path / left).mkdir(parents=True)
  with pytest.raises(ValueError, match=r"config.seed: 2 there, 3 asked for"):
    hold(tmp_path, seed=3)
  assert records.read_config(tmp_path).seed == 2


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


def test_a_folder_that_takes_no_file_is_named(tmp_path):
  (tmp_path / "file").touch()
  folder = tmp_path / "file" / "run"
  with (
    pytest.raises(
      storage.StorageError,
      match=r"file/run cannot be written \(Not a directory\). Choose",
    ),
    storage.storing(folder, "Choose another."),
  ):
    storage.write_json(folder / "a.json", {})
