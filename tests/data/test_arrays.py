"""Images from outside become ours in one place, and wrong ones are refused."""

import numpy as np
import pytest

from fmvae import data

_PICTURES = np.arange(5 * 12 * 10 * 3, dtype=np.uint8).reshape(5, 12, 10, 3)


def test_right_images_are_kept_as_uint8():
  kept = data.from_arrays(_PICTURES).images
  assert kept is _PICTURES
  grey = data.from_arrays(_PICTURES[..., 0]).images
  np.testing.assert_array_equal(grey, _PICTURES[..., :1])
  floats = data.from_arrays(_PICTURES.astype(np.float32) / 255).images
  assert floats.dtype == np.uint8
  np.testing.assert_array_equal(floats, _PICTURES)
  halves = data.from_arrays(np.full((1, 8, 8), 0.5)).images
  assert (halves == 128).all()  # 127.5 to the even one


def test_vectors_are_kept_as_pictures_of_one_pixel():
  vectors = np.array([[1.5, -2, 1e6], [0, 3, 4]])
  kept = data.from_arrays(vectors).images
  assert (kept.dtype, kept.shape) == (np.float32, (2, 1, 1, 3))
  np.testing.assert_array_equal(kept[:, 0, 0], vectors)
  np.testing.assert_array_equal(data.to_images(kept, like=(1, 1, 3)), kept)
  assert data.from_arrays(np.arange(6).reshape(2, 3)).images.shape[3] == 3


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (_PICTURES.transpose(0, 3, 1, 2), r"channels last.*\(5, 3, 12, 10\)"),
    (np.zeros((5, 1, 28, 28)), "channels last"),
    (np.zeros((5, 1, 8, 8), np.uint8), "channels last"),
    (_PICTURES.astype(np.float32), r"in \[0, 1\], got 0 to 255: scale"),
    (_PICTURES / 127.5 - 1, r"in \[0, 1\], got -1 to 1"),
    (np.full((2, 8, 8), np.nan), r"in \[0, 1\], got nan"),
    (_PICTURES.astype(np.int64), r"uint8, or floats in \[0, 1\], got int64"),
    (_PICTURES > 3, r"uint8, or floats in \[0, 1\], got bool"),
    (_PICTURES[0, 0, 0], r"or vectors \[N, F\], got shape \(3,\)"),
    (_PICTURES[None], "got shape"),
    (_PICTURES[:0], "at least one"),
    (np.array([[1.0, np.inf]]), "must be finite"),
    (np.array([[1e300]]), "float32 can hold"),
    ([[1, 2], [3]], "must be one array"),
    ([["a"]], "must be uint8"),
  ],
)
def test_other_images_are_refused(images, message):
  with pytest.raises(data.DataError, match=f"images of 'mine'.*{message}"):
    data.from_arrays(images, name="mine")


def test_images_for_a_model_have_its_shape():
  with pytest.raises(data.DataError, match=r"\[N, 12, 10, 1\], got \(5, 12, "):
    data.to_images(_PICTURES, like=(12, 10, 1))
  with pytest.raises(data.DataError, match="moveaxis"):
    data.to_images(_PICTURES.transpose(0, 3, 1, 2), like=(12, 10, 3))
  with pytest.raises(data.DataError, match=r"\[N, 4\], got \(5, 3\)"):
    data.to_images(np.zeros((5, 3)), like=(1, 1, 4))


def test_labels_are_integers_or_become_classes():
  made = data.from_arrays(
    _PICTURES,
    {
      "number": [3, -1, 0, 7, 7],
      "kind": ["dog", "", " cat ", None, "dog"],
      "round": np.array([True, False, True, True, False]),
    },
  )
  assert made.value_names == {"kind": ("cat", "dog")}
  assert made.features["number"].dtype == np.int32
  np.testing.assert_array_equal(made.features["number"], [3, -1, 0, 7, 7])
  np.testing.assert_array_equal(made.features["kind"], [1, -1, 0, -1, 1])
  np.testing.assert_array_equal(made.features["round"], [1, 0, 1, 1, 0])


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    ([0, 1], "one for each of 5 images, got 2"),
    ([0.0, 1, 2, 3, 4], "integers or strings.*got float64"),
    (np.zeros((5, 1), int), "integers or strings"),
    ([0, 1, 2, 3, -2], "or -1 where unknown, got -2 to 3"),
    ([0, 1, 2, 3, 2**31], "got 0 to 2147483648"),
  ],
)
def test_other_labels_are_refused(labels, message):
  with pytest.raises(
    data.DataError, match=f"labels 'of' of 'arrays'.*{message}"
  ):
    data.from_arrays(_PICTURES, {"of": labels})


def test_hold_out_splits_by_its_seed_alone():
  whole = data.from_arrays(_PICTURES, {"number": np.arange(5)})
  train, test = data.hold_out(whole, 0.4, 3)
  assert (train.split, test.split) == ("train", "test")
  both = np.concatenate([train.features["number"], test.features["number"]])
  np.testing.assert_array_equal(np.sort(both), np.arange(5))
  assert len(test.images) == 2
  np.testing.assert_array_equal(test.images, _PICTURES[test.features["number"]])
  again = data.hold_out(whole, 0.4, 3)[1]
  np.testing.assert_array_equal(again.images, test.images)
  assert len(data.hold_out(whole, 0.01, 0)[1].images) == 1
  with pytest.raises(data.DataError, match="at least 2 images"):
    data.hold_out(data.from_arrays(_PICTURES[:1]), 0.1, 0)
