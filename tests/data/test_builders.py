"""What builders say of themselves; MNIST, Omniglot and CelebA from files.

The files are tiny made-up ones, and the real ones where they are at hand.
"""

import gzip
import hashlib
import io
import logging
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging as absl_logging
from PIL import Image
from tensorflow_datasets.image_classification import omniglot as tfds_omniglot

from fmvae.data import DATASETS, DataError, catalogue, load
from fmvae.data.builders import Described
from fmvae.data.celeb_a import CelebA, celeb_a_64
from fmvae.data.digits import UciDigits
from fmvae.data.mnist import MNIST, FashionMNIST, _read_idx
from fmvae.data.omniglot import Omniglot, _find_members, omniglot_28
from fmvae.data.shapes import Shapes

# What every builder says of itself


# Name, SPLITS, SOURCE_FILES, DOWNLOADED, shapes as stored and as kept.
_DESCRIBED = (
  ("uci_digits", ("train", "test"), (), False, (8, 8, 1), (8, 8, 1)),
  ("shapes", ("train", "test"), (), False, (32, 32, 3), (32, 32, 3)),
  (
    "mnist",
    ("train", "test"),
    (
      "train-images-idx3-ubyte.gz",
      "train-labels-idx1-ubyte.gz",
      "t10k-images-idx3-ubyte.gz",
      "t10k-labels-idx1-ubyte.gz",
    ),
    True,
    (28, 28, 1),
    (28, 28, 1),
  ),
  (
    "omniglot",
    ("train", "test", "small1", "small2"),
    (
      "images_background.zip",
      "images_evaluation.zip",
      "images_background_small1.zip",
      "images_background_small2.zip",
    ),
    True,
    (105, 105, 3),
    (28, 28, 1),
  ),
  (
    "celeb_a",
    ("train", "validation", "test"),
    (
      "img_align_celeba.zip",
      "list_attr_celeba.txt",
      "list_eval_partition.txt",
    ),
    False,
    (64, 64, 3),
    (64, 64, 3),
  ),
)


@pytest.mark.parametrize(
  ("name", "splits", "files", "downloaded", "stored", "kept"), _DESCRIBED
)
def test_what_a_builder_says_of_itself(
  name, splits, files, downloaded, stored, kept, tmp_path
):
  described = catalogue._described(name)
  assert issubclass(described, Described)
  assert described.name == name
  assert splits == described.SPLITS
  assert files == described.SOURCE_FILES
  assert downloaded == described.DOWNLOADED
  image = described.to_array(np.full(stored, 255, np.uint8))
  assert image.shape == kept
  assert image.dtype == np.uint8
  assert described(data_dir=tmp_path).info.features["image"].shape in (
    stored,
    (None, None, stored[-1]),
  )


def test_every_data_set_is_described_here():
  assert tuple(row[0] for row in _DESCRIBED) == DATASETS


def test_features_are_those_stored_and_named_by_their_classes(tmp_path):
  arrays = {"label": np.arange(3, dtype=np.int32)}
  features, names = UciDigits(data_dir=tmp_path).describe_features(arrays)
  assert features is arrays
  assert names == {"label": tuple("0123456789")}
  _, names = Shapes(data_dir=tmp_path).describe_features({})
  assert names["size"] == ("small", "large")
  assert list(names) == ["shape", "colour", "size", "frame", "background"]


def test_celeb_a_has_a_feature_for_each_attribute(tmp_path):
  attributes = np.random.default_rng(0).integers(0, 2, (5, 40), np.int32)
  features, names = CelebA(data_dir=tmp_path).describe_features(
    {"attributes": attributes}
  )
  assert list(features) == list(names) == list(CelebA.ATTRIBUTES)
  np.testing.assert_array_equal(
    np.stack(list(features.values()), 1), attributes
  )
  assert names["Male"] == ("female", "male")
  assert names["Big_Nose"] == ("not Big Nose", "Big Nose")


# MNIST


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_mnist_and_its_like_are_the_catalogue_s(tmp_path, name):
  ours = catalogue._described(name)(data_dir=tmp_path)
  theirs = tfds.builder(name, data_dir=tmp_path)
  assert ours.name == theirs.name == name
  assert ours.version == theirs.version
  assert ours.data_dir == theirs.data_dir
  assert ours.url_infos == theirs.url_infos
  assert len(ours.url_infos) == 4
  assert repr(ours.info.features) == repr(theirs.info.features)
  assert {url.rpartition("/")[0] + "/" for url in ours.url_infos} == {ours.URL}


def test_fashion_mnist_is_prepared_without_tensorflow(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
  digits = np.array([9, 0, 4], np.uint8)
  infos = {}
  for file in FashionMNIST.SOURCE_FILES:
    array, magic = (images, 2051) if "images" in file else (digits, 2049)
    header = np.array([magic, *array.shape], ">i4").tobytes()
    content = gzip.compress(header + array.tobytes())
    (tmp_path / file).write_bytes(content)
    infos[FashionMNIST.URL + file] = tfds.download.checksums.UrlInfo(
      size=len(content),
      checksum=hashlib.sha256(content).hexdigest(),
      filename=file,
    )

  class Few(FashionMNIST, skip_registration=True):
    name = "fashion_mnist"
    url_infos = infos

  made = load(Few, "test", data_dir=tmp_path / "data", manual_dir=tmp_path)
  assert made.value_names["label"][9] == "Ankle boot"
  for image, label in zip(made.images, made.features["label"], strict=True):
    (i,) = np.flatnonzero((image[..., 0] == images).all((1, 2)))
    assert label == digits[i]
  # The next time it is read by its name.
  again = load("fashion_mnist", "train", data_dir=tmp_path / "data")
  assert again.images.shape == (3, 28, 28, 1)


def test_mnist_from_the_real_files(mnist, real_files):
  train, test = (load("mnist", s, data_dir=mnist) for s in ("train", "test"))
  assert train.images.shape == (60_000, 28, 28, 1)
  assert test.images.shape == (10_000, 28, 28, 1)
  np.testing.assert_allclose(train.images.mean() / 255, 0.1306605, atol=1e-7)
  np.testing.assert_array_equal(
    np.bincount(train.features["label"]),
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
  )
  np.testing.assert_array_equal(
    np.bincount(test.features["label"]),
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
  )
  # Images and labels belong together: the labels of the file's own order.
  with gzip.open(real_files / "mnist" / MNIST.SOURCE_FILES[2]) as file:
    pixels = np.frombuffer(file.read(), np.uint8, offset=16)
  with gzip.open(real_files / "mnist" / MNIST.SOURCE_FILES[3]) as file:
    labels = np.frombuffer(file.read(), np.uint8, offset=8)
  label_of = {
    image.tobytes(): label
    for image, label in zip(pixels.reshape(-1, 784), labels, strict=True)
  }
  for image, label in zip(test.images, test.features["label"], strict=True):
    assert label_of[image.tobytes()] == label


def test_mnist_with_a_wrong_checksum_is_refused(tmp_path):
  files = tmp_path / "files"
  files.mkdir()
  for name in MNIST.SOURCE_FILES:
    (files / name).write_bytes(gzip.compress(b"no digits"))
  with pytest.raises(DataError, match=r"(?s)mnist.*\.gz.* has wrong checksum"):
    load("mnist", "train", data_dir=tmp_path / "data", manual_dir=files)
  assert not (tmp_path / "data" / "mnist" / "3.0.1").exists()


@pytest.mark.parametrize(
  "spoil",
  [
    lambda content: gzip.compress(content)[:-9],
    lambda content: gzip.compress(b"\0\0\0\7" + content[4:]),
    lambda content: gzip.compress(content[:-1]),
    lambda content: gzip.compress(content[:6]),
    lambda content: b"none",
  ],
  ids=["cut", "header", "short", "no sizes", "no gzip"],
)
def test_a_damaged_mnist_file_is_named(tmp_path, spoil):
  path = tmp_path / "images.gz"
  content = np.array([2051, 2, 28, 28], ">i4").tobytes() + bytes(2 * 784)
  path.write_bytes(gzip.compress(content))
  assert _read_idx(path, (2, 28, 28)).shape == (2, 28, 28)
  path.write_bytes(spoil(content))
  with pytest.raises(DataError, match=r"images\.gz .*original file"):
    _read_idx(path, (2, 28, 28))


# Omniglot


def _drawing(seed):
  ink = np.random.default_rng(seed).random((105, 105)) < 0.05
  buffer = io.BytesIO()
  Image.fromarray(~ink).save(buffer, "png")  # 1 bit, ink is black
  return buffer.getvalue(), ink


class Few(Omniglot, skip_registration=True):
  """Omniglot with as many pictures as there are in `omniglot_files`."""

  name = "omniglot"
  NUM_IMAGES: ClassVar = dict.fromkeys(Omniglot.SPLITS, 12)


@pytest.fixture
def omniglot_files(tmp_path, monkeypatch):
  """Two alphabets a zip, two characters each, three drawings of each."""
  folder = tmp_path / "omniglot"
  folder.mkdir()
  drawings = {}
  alphabets = {0: ("Futurama", "Greek"), 1: ("Manga", "Latin")}
  for index, name in enumerate(Omniglot.SOURCE_FILES):
    root = name.removesuffix(".zip")
    with zipfile.ZipFile(folder / name, "w") as archive:
      archive.writestr(f"{root}/", "")
      for a, alphabet in enumerate(alphabets[index % 2]):
        for character in (1, 2):
          label = 4 * (index % 2) + 2 * a + character
          for copy in (1, 2, 3):
            png, ink = _drawing(100 * label + copy)
            archive.writestr(
              f"{root}/{alphabet}/character{character:02d}"
              f"/{label:04d}_{copy:02d}.png",
              png,
            )
            drawings[label - 1, copy] = ink
  monkeypatch.setattr(tfds_omniglot, "_NUM_CLASSES", 8)
  monkeypatch.setattr(tfds_omniglot, "_NUM_ALPHABETS", 4)
  return tmp_path, drawings


def test_omniglot(omniglot_files, tmp_path):
  manual_dir, drawings = omniglot_files
  args = {"data_dir": tmp_path / "data", "manual_dir": manual_dir}
  train = load(Few, "train", **args)
  test = load("omniglot", "test", **args)  # by now prepared
  assert train.images.shape == test.images.shape == (12, 28, 28, 1)
  assert set(train.features) == {"label", "alphabet", "alphabet_char_id"}
  np.testing.assert_array_equal(np.bincount(train.features["label"]), [3] * 4)
  np.testing.assert_array_equal(np.unique(test.features["label"]), [4, 5, 6, 7])
  # Alphabets are numbered in the order of their names.
  np.testing.assert_array_equal(np.unique(train.features["alphabet"]), [0, 1])
  np.testing.assert_array_equal(np.unique(test.features["alphabet"]), [2, 3])
  np.testing.assert_array_equal(
    train.features["alphabet_char_id"], train.features["label"] % 2
  )
  for image, label in zip(train.images, train.features["label"], strict=True):
    means = [drawings[label, copy].mean() for copy in (1, 2, 3)]
    assert min(abs(image.mean() / 255 - mean) for mean in means) < 2e-3


def test_omniglot_28_averages_bright_ink():
  paper = np.full((105, 105), 255, np.uint8)
  paper[15:30, 45:60] = 0  # 4x4 pixels of the result
  small = omniglot_28(paper)
  expected = np.zeros((28, 28, 1), np.uint8)
  expected[4:8, 12:16] = 255
  assert small.dtype == np.uint8
  np.testing.assert_array_equal(small, expected)
  np.testing.assert_array_equal(
    omniglot_28(paper[..., None].repeat(3, 2)), small
  )


def test_omniglot_refuses_a_wrong_number_of_pictures(omniglot_files, tmp_path):
  class OneMore(Few, skip_registration=True):
    name = "omniglot"
    NUM_IMAGES: ClassVar = Few.NUM_IMAGES | {"test": 13}

  manual_dir, _ = omniglot_files
  with pytest.raises(DataError, match=r"images_evaluation\.zip holds 12 .* 13"):
    load(OneMore, "train", data_dir=tmp_path / "d", manual_dir=manual_dir)


def test_omniglot_never_counts_a_path_that_leaves_the_archive(
  omniglot_files, tmp_path
):
  manual_dir, _ = omniglot_files
  with zipfile.ZipFile(
    manual_dir / "omniglot" / "images_background.zip", "a"
  ) as archive:
    archive.writestr("../../evil/character01/0001_01.png", _drawing(0)[0])
    archive.writestr("../evil/character01/0001_02.png", _drawing(0)[0])
  data_dir = tmp_path / "data"
  train = load(Few, "train", data_dir=data_dir, manual_dir=manual_dir)
  assert len(train.images) == 12
  assert not list(tmp_path.rglob("*.png"))


def test_omniglot_with_a_damaged_picture_is_refused(omniglot_files, tmp_path):
  manual_dir, _ = omniglot_files
  path = manual_dir / "omniglot" / "images_background_small1.zip"
  with zipfile.ZipFile(path) as archive:
    info = archive.infolist()[-1]
  content = bytearray(path.read_bytes())
  content[info.header_offset + 80 + len(info.filename)] ^= 255
  path.write_bytes(content)
  with pytest.raises(DataError, match=r"small1\.zip is damaged"):
    load(Few, "train", data_dir=tmp_path / "d", manual_dir=manual_dir)


def test_no_zip_file_at_all(omniglot_files, tmp_path):
  manual_dir, _ = omniglot_files
  (manual_dir / "omniglot" / "images_background.zip").write_text("404")
  with pytest.raises(DataError, match=r"images_background\.zip is not a"):
    load(Few, "train", data_dir=tmp_path / "d", manual_dir=manual_dir)


@pytest.mark.parametrize("name", ["0001_01.png", "0001_02.png"])
def test_omniglot_with_a_wrong_picture(omniglot_files, tmp_path, name):
  manual_dir, _ = omniglot_files
  path = manual_dir / "omniglot" / "images_background.zip"
  with zipfile.ZipFile(path) as archive:
    members = {m: archive.read(m) for m in archive.namelist()}
  first = "images_background/Futurama/character01/0001_01.png"
  with zipfile.ZipFile(path, "w") as archive:
    for member, png in members.items():
      archive.writestr(member, b"none" if member == first else png)
    if name != "0001_01.png":  # the same drawing by another path
      archive.writestr(first.replace("character01", "character1"), b"none")
  words = "0001_01.png (in .* is no PNG|twice)"
  with pytest.raises(DataError, match=words):
    load(Few, "train", data_dir=tmp_path / "d", manual_dir=manual_dir)


def test_real_omniglot_has_the_official_layout(real_files):
  for split, name in zip(Omniglot.SPLITS, Omniglot.SOURCE_FILES, strict=True):
    found = _find_members(
      real_files / "omniglot" / name, name, Omniglot.NUM_IMAGES[split]
    )
    labels = {int(match["label"]) for match in found}
    alphabets = {match["alphabet"] for match in found}
    assert len(found) == 20 * len(labels)
    assert len(alphabets) == {"train": 30, "test": 20}.get(split, 5)


# CelebA


def _face(seed):
  colour = np.random.default_rng(seed).integers(0, 256, 3)
  image = np.broadcast_to(colour.astype(np.uint8), (218, 178, 3))
  buffer = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(image)).save(buffer, "jpeg", quality=95)
  return buffer.getvalue(), colour


@pytest.fixture
def celeb_a_files(tmp_path):
  """Seven pictures of one colour each; the last has no attributes."""
  folder = tmp_path / "celeb_a"
  folder.mkdir()
  names = [f"{index:06d}.jpg" for index in range(1, 8)]
  with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
    for index, name in enumerate(names):
      archive.writestr(f"img_align_celeba/{name}", _face(index)[0])
  rows = ["6", " ".join(CelebA.ATTRIBUTES) + " "]
  for index, name in enumerate(names[:6]):
    values = ["1" if (index >> bit) & 1 else "-1" for bit in range(3)]
    rows.append(f"{name} {' '.join(values)}  1 {' '.join(['-1'] * 36)}")
  (folder / "list_attr_celeba.txt").write_text("\n".join(rows) + "\n")
  partition = [f"{n} {s}" for n, s in zip(names, "0000120", strict=True)]
  (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
  return folder


def test_celeb_a(celeb_a_files, tmp_path, caplog):
  args = {"data_dir": tmp_path / "data", "manual_dir": celeb_a_files}
  absl_logging.set_verbosity(absl_logging.INFO)
  with caplog.at_level(logging.INFO, logger="absl"):
    train = load("celeb_a", "train", **args)
  assert "6 of the official 202599 pictures; 1 in" in caplog.text
  assert train.images.shape == (4, 64, 64, 3)
  assert list(train.features) == list(CelebA.ATTRIBUTES)
  first, second = list(CelebA.ATTRIBUTES)[:2]
  seen = set()
  for index, image in enumerate(train.images):
    face = train.features[first][index] + 2 * train.features[second][index]
    colour = _face(face)[1]
    assert np.abs(image.astype(int) - colour).max() < 6  # RGB, not BGR
    seen.add(int(face))
  assert seen == {0, 1, 2, 3}
  assert (train.features[CelebA.ATTRIBUTES[3]] == 1).all()
  assert (train.features[CelebA.ATTRIBUTES[39]] == 0).all()
  assert len(load("celeb_a", "validation", **args).images) == 1
  assert len(load("celeb_a", "test", **args).images) == 1


def test_celeb_a_writes_nothing_that_an_archive_places_elsewhere(
  celeb_a_files, tmp_path
):
  with zipfile.ZipFile(celeb_a_files / "img_align_celeba.zip", "a") as archive:
    for place in ("../../evil.jpg", f"{tmp_path}/evil.jpg", "../000001.jpg"):
      archive.writestr(place, _face(0)[0])
  before = set(tmp_path.rglob("*"))
  load("celeb_a", "train", data_dir=tmp_path / "data", manual_dir=celeb_a_files)
  new = set(tmp_path.rglob("*")) - before
  assert new
  assert all((tmp_path / "data") in (p, *p.parents) for p in new)
  assert not list(tmp_path.parent.glob("**/evil.jpg"))


def test_celeb_a_64_takes_the_centre():
  image = np.zeros((218, 178, 3), np.uint8)
  image[35:183, 15:163] = 200
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "png")
  small = celeb_a_64(buffer.getvalue())
  assert small.shape == (64, 64, 3)
  assert (small == 200).all()


def test_celeb_a_without_an_empty_split(celeb_a_files, tmp_path):
  path = celeb_a_files / "list_eval_partition.txt"
  path.write_text(path.read_text().replace(" 1\n", " 0\n"))
  args = {"data_dir": tmp_path / "data", "manual_dir": celeb_a_files}
  assert len(load("celeb_a", "train", **args).images) == 5
  with pytest.raises(DataError, match="none of split 'validation'"):
    load("celeb_a", "validation", **args)


@pytest.mark.parametrize(
  ("file", "old", "new", "words"),
  [
    ("list_attr_celeba.txt", "Young", "Old", "40 CelebA attributes"),
    ("list_attr_celeba.txt", "-1\n", "\n", "40 times -1 or 1"),
    ("list_eval_partition.txt", " 2\n", " 3\n", "0, 1 or 2"),
    ("list_eval_partition.txt", ".jpg", ".png", "no picture that"),
  ],
)
def test_celeb_a_with_wrong_lists(
  celeb_a_files, tmp_path, file, old, new, words
):
  path = celeb_a_files / file
  path.write_text(path.read_text().replace(old, new))
  with pytest.raises(DataError, match=words):
    load("celeb_a", "test", data_dir=tmp_path, manual_dir=celeb_a_files)


@pytest.mark.parametrize("size", [(64, 64), None])
def test_celeb_a_with_a_wrong_picture(celeb_a_files, tmp_path, size):
  buffer = io.BytesIO(b"no picture")
  if size:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "jpeg")
  with zipfile.ZipFile(celeb_a_files / "img_align_celeba.zip", "w") as archive:
    archive.writestr("img_align_celeba/000001.jpg", buffer.getvalue())
  with pytest.raises(DataError, match=r"img_align_celeba/000001\.jpg in .* is"):
    load("celeb_a", "train", data_dir=tmp_path, manual_dir=celeb_a_files)


@pytest.mark.parametrize("file", CelebA.SOURCE_FILES)
def test_celeb_a_with_an_unreadable_file(celeb_a_files, tmp_path, file):
  path = celeb_a_files / file
  content = bytearray(path.read_bytes())
  if path.suffix == ".zip":  # every member is marked as encrypted
    for start, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
      place = -1
      while (place := content.find(start, place + 1)) >= 0:
        content[place + flag] |= 1
  else:
    content += "é".encode("latin-1")
  path.write_bytes(content)
  with pytest.raises(DataError, match=file):
    load("celeb_a", "train", data_dir=tmp_path, manual_dir=celeb_a_files)


def test_a_picture_of_no_bytes_is_no_picture():
  with pytest.raises(ValueError, match="got other bytes"):
    celeb_a_64(b"")


def test_celeb_a_is_never_downloaded(tmp_path):
  with pytest.raises(DataError, match=r"list_attr_celeba\.txt.*--manual_dir"):
    load("celeb_a", "train", data_dir=tmp_path)
