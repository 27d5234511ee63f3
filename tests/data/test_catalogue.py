"""`load` on the embedded digits, and every kind of bad input."""

import dataclasses
import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fmvae import data
from fmvae.data import catalogue, imagesets
from fmvae.data.digits import UciDigits


def test_digits(prepared):
  from sklearn.datasets import load_digits

  train = data.load("uci_digits", "train", data_dir=prepared)
  test = data.load("uci_digits", "test", data_dir=prepared)
  assert (train.name, train.split) == ("uci_digits", "train")
  assert train.images.shape == (1_500, 8, 8, 1)
  assert test.images.shape == (297, 8, 8, 1)
  assert train.images.dtype == np.uint8
  assert set(train.features) == {"label"}
  assert train.features["label"].dtype == np.int32
  assert hashlib.sha256(train.images.tobytes()).hexdigest()[:16] == (
    "a621c9472a1b2925"
  )
  # Every pair of image and label is one of scikit-learn's, once.
  digits = load_digits()
  expected = [
    ((levels * 255 / 16 + 0.5).astype(np.uint8).tobytes(), int(label))
    for levels, label in zip(digits.images, digits.target, strict=True)
  ]
  for part, rows in ((train, expected[:1_500]), (test, expected[1_500:])):
    pairs = zip(part.images, part.features["label"], strict=True)
    found = [(image.tobytes(), int(label)) for image, label in pairs]
    assert sorted(found) == sorted(rows)


def test_an_image_set_is_frozen(prepared):
  images = data.load("uci_digits", "test", data_dir=prepared)
  with pytest.raises(dataclasses.FrozenInstanceError):
    images.split = "train"


def test_the_second_load_reads_the_prepared_copy(prepared, tmp_path):
  class Refusing(UciDigits, skip_registration=True):
    name = "uci_digits"

    def _split_generators(self, dl_manager):
      raise AssertionError("prepared again")

  assert len(data.load(Refusing, "train", data_dir=prepared).images)
  with pytest.raises(AssertionError, match="prepared again"):
    data.load(Refusing, "train", data_dir=tmp_path)


def test_no_tensorflow_and_a_light_import(tmp_path):
  program = f"""
import sys
from fmvae import data
heavy = {{"tensorflow_datasets", "cv2", "sklearn", "tensorflow"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
data.load("uci_digits", "train", data_dir={str(tmp_path)!r})
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules
"""
  subprocess.run([sys.executable, "-c", program], check=True)


def test_a_crash_leaves_nothing_behind(tmp_path):
  class Crashing(UciDigits, skip_registration=True):
    name = "uci_digits"

    def _generate_examples(self, images, labels):
      yield from list(super()._generate_examples(images, labels))[:100]
      raise RuntimeError("power cut")

  with pytest.raises(RuntimeError, match="power cut"):
    data.load(Crashing, "train", data_dir=tmp_path)
  assert [p.name for p in (tmp_path / "uci_digits").iterdir()] == [".lock"]
  assert len(data.load("uci_digits", "train", data_dir=tmp_path).images) == 1500


def test_a_stop_just_after_the_folder_is_made_leaves_nothing(tmp_path):
  class Stopped(UciDigits, skip_registration=True):
    name = "uci_digits"

    def download_and_prepare(self, **_):
      (tmp_path / "uci_digits" / "incomplete.ABCDEF_1.0.0").mkdir()
      raise SystemExit  # as of a signal before TFDS begins to watch

  with pytest.raises(SystemExit):
    data.load(Stopped, "train", data_dir=tmp_path)
  assert [p.name for p in (tmp_path / "uci_digits").iterdir()] == [".lock"]


def test_another_process_may_prepare_first(tmp_path, prepared):
  folders = [root / "uci_digits" / "1.0.0" for root in (prepared, tmp_path)]

  class Overtaken(UciDigits, skip_registration=True):
    name = "uci_digits"

    def _generate_examples(self, images, labels):
      if not folders[1].exists():
        shutil.copytree(*folders)
      yield from super()._generate_examples(images, labels)

  assert len(data.load(Overtaken, "train", data_dir=tmp_path).images) == 1500


# What is kept decoded


def test_decoded_images_are_kept_and_read_back(copy):
  class Unread(UciDigits, skip_registration=True):
    name = "uci_digits"

    @staticmethod
    def to_array(image):
      raise AssertionError("read from its record")

  root = copy.parent.parent
  with pytest.raises(AssertionError, match="read from its record"):
    data.load(Unread, "train", data_dir=root)
  first = data.load("uci_digits", "train", data_dir=root)
  (kept,) = copy.glob("decoded-*")
  second = data.load(Unread, "train", data_dir=root)
  np.testing.assert_array_equal(first.images, second.images)
  np.testing.assert_array_equal(
    first.features["label"], second.features["label"]
  )
  assert second.images.dtype == np.uint8
  assert second.features["label"].dtype == np.int32

  whole = kept.read_bytes()
  for damaged in (b"", whole[: len(whole) // 2], b"stray"):
    kept.write_bytes(damaged)
    third = data.load("uci_digits", "train", data_dir=root)
    np.testing.assert_array_equal(first.images, third.images)
    assert kept.read_bytes() == whole  # and kept anew


def test_nothing_is_unpickled_from_a_kept_file(copy):
  class Trap:
    def __reduce__(self):
      return (pytest.fail, ("code was run",))

  np.savez(
    copy / f"decoded-{imagesets._DECODED_VERSION}-train.npz",
    image=np.array([Trap()], object),
  )
  loaded = data.load("uci_digits", "train", data_dir=copy.parent.parent)
  assert loaded.images.shape == (1_500, 8, 8, 1)


def test_a_folder_that_cannot_be_written_is_still_read(copy, monkeypatch):
  def refuse(*args, **kwargs):
    raise OSError("read-only file system")

  monkeypatch.setattr(imagesets.np, "savez", refuse)
  loaded = data.load("uci_digits", "train", data_dir=copy.parent.parent)
  assert len(loaded.images) == 1_500
  assert not list(copy.glob("*decoded-*"))


# Another split


def test_resplit_draws_from_all_images_once(prepared):
  parts = [
    data.load("uci_digits", split, data_dir=prepared)
    for split in ("train", "test")
  ]
  train, test = data.resplit(parts, (1_000, 700), seed=3)
  assert (train.split, test.split) == ("train", "test")
  assert (len(train.images), len(test.images)) == (1_000, 700)

  def rows(sets):
    return sorted(
      (image.tobytes(), int(label))
      for part in sets
      for image, label in zip(part.images, part.features["label"], strict=True)
    )

  everything = rows(parts)
  drawn = rows([train, test])
  left = list(everything)
  for row in drawn:
    left.remove(row)  # each at most as often as it is there
  assert len(left) == 97
  # The old test images are spread over both.
  old_test = {image.tobytes() for image in parts[1].images}
  inside = sum(image.tobytes() in old_test for image in train.images)
  assert 100 < inside < 230

  again, _ = data.resplit(parts, (1_000, 700), seed=3)
  np.testing.assert_array_equal(again.images, train.images)
  other, _ = data.resplit(parts, (1_000, 700), seed=4)
  assert (other.images != train.images).any()
  # Which images go where must not change from version to version.
  assert hashlib.sha256(test.images.tobytes()).hexdigest()[:16] == (
    "ec2193b617f6e3bd"
  )


@pytest.mark.parametrize("sizes", [(1_000, 798), (0, 5)])
def test_a_resplit_that_is_too_large_is_refused(prepared, sizes):
  parts = [
    data.load("uci_digits", split, data_dir=prepared)
    for split in ("train", "test")
  ]
  with pytest.raises(data.DataError, match="1797 images in all"):
    data.resplit(parts, sizes, seed=0)


# Bad input


def test_unknown_name(tmp_path):
  message = r"must be one of uci_digits.*got 'mnits'"
  with pytest.raises(data.DataError, match=message):
    data.load("mnits", "train", data_dir=tmp_path)


def test_unknown_split(tmp_path):
  with pytest.raises(
    data.DataError, match="'mnist' must be one of train, test, got 'valid'"
  ):
    data.load("mnist", "valid", data_dir=tmp_path)
  assert not list(tmp_path.iterdir())


def test_missing_source_files(tmp_path):
  files = tmp_path / "mnist"
  files.mkdir()
  (files / "train-images-idx3-ubyte.gz").touch()
  with pytest.raises(data.DataError) as caught:
    data.load("mnist", "train", data_dir=tmp_path / "d", manual_dir=tmp_path)
  message = str(caught.value)
  assert "train-images" not in message
  for name in ("train-labels", "t10k-images", "t10k-labels"):
    assert f"{name}-idx" in message
  assert f"in {files}" in message
  assert "--manual_dir" in message


def test_no_network(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise OSError("no route")

  monkeypatch.setattr(catalogue.urllib.request, "urlopen", refuse)
  with pytest.raises(data.DataError, match=r"no route.*t10k.*--manual_dir"):
    data.load("mnist", "train", data_dir=tmp_path)


def test_a_data_dir_that_cannot_be_written(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(data.DataError, match=r"Cannot write .*file/here.*--data"):
    data.load("uci_digits", "train", data_dir=tmp_path / "file" / "here")


@pytest.fixture
def copy(prepared, tmp_path):
  shutil.copytree(
    prepared / "uci_digits",
    tmp_path / "uci_digits",
    ignore=shutil.ignore_patterns("decoded-*"),
  )
  return tmp_path / "uci_digits" / "1.0.0"


def _spoil_empty(folder):
  for path in folder.iterdir():
    path.unlink()


def _spoil_info(folder):
  (folder / "dataset_info.json").unlink()


def _spoil_json(folder):
  path = folder / "dataset_info.json"
  path.write_text(path.read_text()[:100])


def _spoil_shard(folder):
  next(folder.glob("*train.array_record*")).unlink()


def _spoil_records(folder):
  path = next(folder.glob("*train.array_record*"))
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _spoil_count(folder):
  shard = next(folder.glob("*train.array_record*"))
  shutil.copy(next(folder.glob("*test.array_record*")), shard)  # 297 records


def _spoil_format(folder):
  path = folder / "dataset_info.json"
  path.write_text(path.read_text().replace("array_record", "tfrecord"))


@pytest.mark.parametrize(
  "spoil",
  [
    _spoil_empty,
    _spoil_info,
    _spoil_shard,
    _spoil_records,
    _spoil_count,
    _spoil_format,
  ],
)
def test_half_a_copy_is_refused(copy, spoil):
  spoil(copy)
  with pytest.raises(data.DataError, match=f"{copy} holds no complete copy"):
    data.load("uci_digits", "train", data_dir=copy.parent.parent)


def test_a_copy_with_a_cut_description_is_refused(copy):
  _spoil_json(copy)
  root = copy.parent.parent
  with pytest.raises(data.DataError, match=f"'uci_digits' in {root} cannot be"):
    data.load("uci_digits", "train", data_dir=root)


# What is kept decoded, damaged


@pytest.mark.parametrize(
  "change",
  [
    lambda kept: kept.pop("label"),
    lambda kept: kept.update(label=kept["label"][:7]),
    lambda kept: kept.update(image=kept["image"].astype(np.float32)),
    lambda kept: kept.update(image=kept["image"][:7], label=kept["label"][:7]),
  ],
  ids=["key", "length", "dtype", "all"],
)
def test_a_kept_file_that_does_not_fit_is_made_anew(copy, change):
  root = copy.parent.parent
  first = data.load("uci_digits", "test", data_dir=root)
  (path,) = copy.glob("decoded-*-test.npz")
  kept = dict(np.load(path))
  change(kept)
  np.savez(path, **kept)
  again = data.load("uci_digits", "test", data_dir=root)
  np.testing.assert_array_equal(again.images, first.images)
  assert again.images.dtype == np.uint8
  assert len(again.features["label"]) == len(np.load(path)["label"]) == 297


@pytest.mark.parametrize("text", [b"[]", b"\xff{}"])
def test_a_copy_with_another_description_is_refused(copy, text):
  (copy / "dataset_info.json").write_bytes(text)
  root = copy.parent.parent
  with pytest.raises(data.DataError, match=f"'uci_digits' in {root} cannot be"):
    data.load("uci_digits", "train", data_dir=root)
