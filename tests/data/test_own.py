"""Own data by name: a folder, an .npz, the catalogue of TFDS."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from fmvae import data
from fmvae.data.folder import Pictures
from fmvae.data.pixels import Fit, encode_png

_RNG = np.random.default_rng(0)
_GREY = _RNG.integers(0, 256, (10, 12, 16), dtype=np.uint8)
_PHOTOS = ("1.JPG", "2.png")


@pytest.fixture
def folder(tmp_path):
  """Ten grey pictures in two classes and beside them."""
  root = tmp_path / "my pictures"
  for i, image in enumerate(_GREY):
    path = root / ("", "cats", "dogs/old")[i % 3] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
  return root


def load(name, tmp_path, split="train", **options):
  return data.load(str(name), split, data_dir=tmp_path / "data", **options)


def of_whole(name, tmp_path, **options):
  """All images of a folder in order of their content, and their labels."""
  parts = [load(name, tmp_path, s, **options) for s in ("train", "test")]
  images = np.concatenate([p.images[:] for p in parts])
  features = {
    f: np.concatenate([p.features[f] for p in parts]) for f in parts[0].features
  }
  return images, features, parts


def test_a_folder_with_classes_is_prepared_once_and_held_out(
  folder, tmp_path, caplog
):
  images, features, (train, test) = of_whole(folder, tmp_path)
  assert (len(train.images), len(test.images)) == (9, 1)
  assert train.value_names == {"label": ("cats", "dogs")}
  for image, label in zip(images, features["label"], strict=True):
    (i,) = np.flatnonzero((image[..., 0] == _GREY).all((1, 2)))
    assert label == i % 3 - 1
  assert not [r for r in caplog.records if r.levelname == "WARNING"]
  copies = tmp_path / "data" / Pictures.name
  assert len(list(copies.glob("my_*"))) == 1
  on_disk = load(folder, tmp_path, in_memory=False)
  assert not isinstance(on_disk.images, np.ndarray)
  np.testing.assert_array_equal(on_disk.images[:], train.images)
  np.testing.assert_array_equal(on_disk.images[np.array([3])], images[3:4])
  other = load(folder, tmp_path, "test", test_fraction=0.5, split_seed=1)
  assert len(other.images) == 5
  os.utime(folder / "0.png", ns=(0, 0))
  load(folder, tmp_path)
  assert len(list(copies.glob("my_*"))) == 2


def test_a_csv_says_what_is_known_of_each_picture(folder, tmp_path):
  (folder / "list.csv").write_text(
    "file,kind,age\n0.png,round,3\ncats/1.png,,0\n dogs/old/2.png ,square,\n"
    "3.png,round,-1\n",
    encoding="utf-8-sig",
  )
  images, features, (train, _) = of_whole(folder, tmp_path)
  assert train.value_names == {"kind": ("round", "square")}
  of = {"kind": [0, -1, 1, 0], "age": [3, 0, -1, -1]}
  for row, image in enumerate(images):
    (i,) = np.flatnonzero((image[..., 0] == _GREY).all((1, 2)))
    for name, values in of.items():
      assert features[name][row] == (values[i] if i < 4 else -1)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("picture,a\n", "column 'file'"),
    ("file,image\n0.png,3\n", "none 'image'"),
    ("file,a/b\n0.png,3\n", "by letters"),
    ("file,a\n99.png,3\n", "Line 2 .*'99.png' is not in the folder"),
    ("file,a\n0.png,3\n0.png,3\n", "Line 3 .*is there twice"),
    ("file,a\n0.png,3,4\n", "Line 2 .*more cells"),
    ("file,a\n0.png,0.5\n", "integers or names, got numbers such as 0.5"),
    ("file,a\n0.png,-7\n", "column 'a' .*-1 where unknown, got -7"),
    (b"\xff\xfe\x00", "no text in UTF-8"),
  ],
)
def test_a_wrong_csv_is_named(folder, tmp_path, text, message):
  content = text if isinstance(text, bytes) else text.encode()
  (folder / "list.csv").write_bytes(content)
  with pytest.raises(data.DataError, match=message):
    load(folder, tmp_path)
  assert not list((tmp_path / "data").glob("pictures/*/1*"))


def test_pictures_are_cut_coloured_and_resized(tmp_path):
  root = tmp_path / "photos"
  for split in ("train", "test"):
    (root / split / "a").mkdir(parents=True)
    Image.new("RGB", (30, 20), (255, 0, 0)).save(root / split / "a" / "1.JPG")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(root / split / "a" / "2.png")
  with pytest.raises(data.DataError, match=r"20x20 and 20x30: set config.data"):
    load(root, tmp_path)
  train = load(root, tmp_path, fit=Fit(8, "centre"))
  assert train.images.shape == (2, 8, 8, 3)
  assert train.value_names == {"label": ("a",)}
  assert len(load(root, tmp_path, "test", fit=Fit(8, "centre")).images) == 2
  # JPEG's red is off by one, and what is transparent is white.
  levels = sorted(image.mean((0, 1)).tolist() for image in train.images)
  np.testing.assert_allclose(levels, [[254, 0, 0], [255] * 3], atol=1)
  grey = load(root, tmp_path, fit=Fit(8, "none", "grey"))
  assert grey.images.shape == (2, 8, 8, 1)
  # As those of a trained model, they are the same pictures.
  read, names = data.read_pictures(root, (8, 8, 3), Fit(8, "centre"))
  assert names == [f"{s}/a/{n}" for s in ("test", "train") for n in _PHOTOS]
  for image in read[2:]:
    assert any((image == other).all() for other in train.images)
  with pytest.raises(data.DataError, match=r"1.JPG must have 20 x 20 pixels"):
    data.read_pictures(root, (20, 20, 3), Fit())


@pytest.mark.parametrize(
  ("options", "shape"),
  [
    ({"size": 5}, (5, 5, 3)),
    ({"crop": "centre"}, (12, 12, 3)),
    ({"colour": "grey"}, (12, 16, 1)),
    ({"size": 24, "crop": "centre", "colour": "colour"}, (24, 24, 3)),
  ],
)
def test_a_fit_says_the_shape(options, shape):
  image = np.repeat(_GREY[0][..., None], 3, axis=2)
  fitted = Fit(**options)(image)
  assert (fitted.dtype, fitted.shape) == (np.uint8, shape)
  if options == {"colour": "grey"}:
    np.testing.assert_array_equal(fitted[..., 0], _GREY[0])


def test_an_unreadable_picture_is_named(folder, tmp_path):
  (folder / "dogs" / "bad.png").write_bytes(b"\x89PNG, but no more")
  with pytest.raises(data.DataError, match=r"bad\.png cannot be read as a pic"):
    load(folder, tmp_path)
  Image.new("I;16", (16, 12)).save(folder / "dogs" / "bad.png")
  with pytest.raises(data.DataError, match=r"bad\.png must have 8 bits"):
    load(folder, tmp_path)
  for path in folder.rglob("*.png"):
    path.unlink()
  with pytest.raises(data.DataError, match=r"must hold pictures .*got none"):
    load(folder, tmp_path)


def test_an_npz_has_its_own_test_split_or_not(tmp_path):
  path = tmp_path / "a.npz"
  kind = np.array(["b", "a", "", "c", "a", "b", "b", "b", "b", "b"])
  np.savez(path, images=_GREY, kind=kind, test_images=_GREY[:2], test_kind="cc")
  with pytest.raises(data.DataError, match="must have one shape"):
    load(path, tmp_path)
  np.savez(
    path, images=_GREY, kind=kind, test_images=_GREY[:2], test_kind=["c", "z"]
  )
  train, test = (load(path, tmp_path, s) for s in ("train", "test"))
  np.testing.assert_array_equal(train.images[..., 0], _GREY)
  np.testing.assert_array_equal(test.features["kind"], [2, 3])
  assert train.value_names == test.value_names == {"kind": tuple("abcz")}
  assert load(path, tmp_path, fit=Fit(8)).images.shape == (10, 8, 8, 1)
  np.savez(path, images=_RNG.normal(size=(10, 3)), number=np.arange(10))
  assert load(path, tmp_path, "test").images.shape == (1, 1, 1, 3)
  with pytest.raises(data.DataError, match=r"a\.npz holds vectors: leave"):
    load(path, tmp_path, fit=Fit(8))
  np.savez(path, images=_GREY, test_images=_GREY, kind=kind)
  with pytest.raises(data.DataError, match="kind has one of the two"):
    load(path, tmp_path)
  np.savez(path, pictures=_GREY)
  with pytest.raises(data.DataError, match=r"called 'images', got .'pictures'"):
    load(path, tmp_path)
  path.write_bytes(b"PK nothing")
  with pytest.raises(data.DataError, match=r"cannot be read as an .npz file"):
    load(path, tmp_path)


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("mnits", "must be one of uci_digits.*TFDS catalogue.*'mnits'"),
    ("./nowhere", "no file or folder that exists"),
    ("nowhere.npz", "no file or folder that exists"),
    ("emnist/nothing", "'emnist/nothing' of the TFDS catalogue cannot be open"),
    ("imdb_reviews", "must have a feature 'image'"),
    ("tf_flowers", "different sizes: set config.dataset.size"),
    (
      "svhn_cropped",
      "needs TensorFlow.*`tfds build svhn_cropped --file_format",
    ),
  ],
)
def test_a_name_that_gives_no_data_costs_a_sentence(name, message, tmp_path):
  with pytest.raises(data.DataError, match=message):
    load(name, tmp_path)
  with pytest.raises(data.DataError, match=r"a folder of pictures or an .npz"):
    load(__file__, tmp_path)


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A small copy under the name and with the features of the catalogue's."""

  name = "cifar10"
  VERSION = tfds.core.Version("3.0.2")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "id": tfds.features.Text(),
          "image": tfds.features.Image(shape=(32, 32, 3)),
          "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {
      "train": self._generate_examples(6),
      "test": self._generate_examples(3),
    }

  def _generate_examples(self, num):
    for i in range(num):
      image = np.full((32, 32, 3), 40 * i, np.uint8)
      yield i, {"id": str(i), "image": encode_png(image), "label": i % 2}


def test_a_prepared_copy_of_the_catalogue_is_read(tmp_path):
  Cifar10(data_dir=tmp_path / "data").download_and_prepare(
    file_format="array_record"
  )
  train = load("cifar10", tmp_path)
  assert train.images.shape == (6, 32, 32, 3)
  assert train.features.keys() == {"label"}
  assert train.value_names == {"label": ("cat", "dog")}
  np.testing.assert_array_equal(
    train.images[:, 0, 0, 0] // 40 % 2, train.features["label"]
  )
  for _ in range(2):  # decoded, then as it was kept
    small = load("cifar10", tmp_path, "test", fit=Fit(16, colour="grey"))
    assert small.images.shape == (3, 16, 16, 1)
  assert load("cifar10", tmp_path, "test").images.shape == (3, 32, 32, 3)
  with pytest.raises(data.DataError, match="must be one of train, test, got"):
    load("cifar10", tmp_path, "validation")
