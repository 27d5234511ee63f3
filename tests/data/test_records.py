"""Images that stay on disk, and records that something is wrong with."""

import shutil

import numpy as np
import pytest
from array_record.python.array_record_module import (
  ArrayRecordReader,
  ArrayRecordWriter,
)
from tensorflow_datasets.proto.tf_example_generated_pb2 import Example

from fmvae import data

_BAD = 1042


@pytest.fixture
def copy(tmp_path, prepared):
  folder = tmp_path / "copy"
  shutil.copytree(prepared, folder)
  for kept in folder.rglob("*.npz"):
    kept.unlink()
  return folder


def rewrite(folder, change):
  """Puts other records in place of those of the training split."""
  (path,) = folder.rglob("uci_digits-train.array_record*")
  reader = ArrayRecordReader(str(path))
  records = [change(i, r) for i, r in enumerate(reader.read_all())]
  reader.close()
  path.unlink()
  writer = ArrayRecordWriter(str(path), "group_size:1")
  for record in records:
    writer.write(record)
  writer.close()


def with_label(label):
  def change(index, record):
    if index != _BAD:
      return record
    example = Example.FromString(record)
    example.features.feature["label"].int64_list.value[:] = [label]
    return example.SerializeToString()

  return change


def with_image(make):
  def change(index, record):
    if index != _BAD:
      return record
    example = Example.FromString(record)
    values = example.features.feature["image"].bytes_list.value
    values[:] = [make(values[0])]
    return example.SerializeToString()

  return change


def test_indexing_gives_what_the_array_gives(copy):
  whole = data.load("uci_digits", "train", data_dir=copy)
  records = data.load("uci_digits", "train", data_dir=copy, in_memory=False)
  assert isinstance(records.images, data.Records)
  assert records.images.shape == whole.images.shape
  assert records.images.dtype == whole.images.dtype
  assert len(records.images) == len(whole.images)
  for rows in (np.array([7, 1499, 0, 7]), slice(3, 9), np.array([], int)):
    found = records.images[rows]
    np.testing.assert_array_equal(found, whole.images[rows])
    assert found.dtype == np.uint8
  np.testing.assert_array_equal(
    records.features["label"], whole.features["label"]
  )
  # The labels are kept for the next time, the images are not.
  assert list(copy.rglob("labels-*-train.npz"))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("label", [10, 255, -2])
def test_a_label_out_of_range_is_named(copy, label, in_memory):
  rewrite(copy, with_label(label))
  with pytest.raises(data.DataError, match=rf"record {_BAD} has label {label}"):
    data.load("uci_digits", "train", data_dir=copy, in_memory=in_memory)


def other_size(_):
  import cv2

  return cv2.imencode(".png", np.zeros((8, 9), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
  "make",
  [lambda png: png[:30], lambda png: b"no picture", other_size],
  ids=["cut", "other", "size"],
)
def test_a_malformed_record_is_named(copy, make):
  rewrite(copy, with_image(make))
  with pytest.raises(
    data.DataError, match=rf"record {_BAD} .*move this folder"
  ):
    data.load("uci_digits", "train", data_dir=copy)
  images = data.load(
    "uci_digits", "train", data_dir=copy, in_memory=False
  ).images
  assert images[:5].shape == (5, 8, 8, 1)  # the others can be read
  with pytest.raises(data.DataError, match=rf"record {_BAD} "):
    images[np.array([3, _BAD, 4])]


def test_the_error_reaches_who_waits_for_the_batch(copy):
  rewrite(copy, with_image(lambda png: png[:30]))
  images = data.load(
    "uci_digits", "train", data_dir=copy, in_memory=False
  ).images
  feed = data.feed(lambda i: images[i : i + 1], 1500, prefetch=True)
  feed.set_state({"next_index": _BAD - 2})
  next(feed), next(feed)
  assert feed.get_state() == {"next_index": _BAD}
  with pytest.raises(data.DataError, match=rf"record {_BAD} "):
    next(feed)


@pytest.mark.parametrize("prefetch", [True, False])
def test_a_feed_goes_on_from_any_position(prefetch):
  feed = data.feed(lambda i: i * i, 20, prefetch=prefetch)
  assert [next(feed) for _ in range(5)] == [0, 1, 4, 9, 16]
  position = feed.get_state()
  assert position == {"next_index": 5}
  assert [next(feed) for _ in range(3)] == [25, 36, 49]
  again = data.feed(lambda i: i * i, 20, prefetch=prefetch)
  for same in (feed, again):
    same.set_state(position)
    assert [next(same) for _ in range(3)] == [25, 36, 49]


@pytest.mark.parametrize("shape", [(4,), (6,), (5, 1), ()])
def test_a_feature_of_another_length_than_the_images_is_named(shape):
  images = np.zeros((5, 2, 2, 1), np.uint8)
  features = {"digit": np.zeros(shape, np.int32)}
  with pytest.raises(ValueError, match=r"'digit' .* must have shape \(5,\)"):
    data.ImageSet(images, features, "x", "train")
