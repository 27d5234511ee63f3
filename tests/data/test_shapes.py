"""The rendered set: independent properties, and pictures that show them."""

import itertools

import cv2
import numpy as np
import pytest

from fmvae.data import DataError, load, shapes


@pytest.fixture(scope="module")
def test_set(tmp_path_factory):
  return load("shapes", "test", data_dir=tmp_path_factory.mktemp("shapes"))


def test_names_and_sizes(test_set):
  assert test_set.images.shape == (2_000, 32, 32, 3)
  assert test_set.images.dtype == np.uint8
  assert test_set.value_names["shape"] == ("disc", "bar", "triangle")
  assert set(test_set.value_names) == set(test_set.features)
  assert set(test_set.features) == {
    "shape",
    "colour",
    "size",
    "frame",
    "background",
  }


def test_properties_are_uniform_and_independent(test_set):
  for values in test_set.features.values():
    share = np.bincount(values) / len(values)
    np.testing.assert_allclose(share, 1 / len(share), atol=0.04)
  for one, other in itertools.combinations(test_set.features.values(), 2):
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    np.testing.assert_allclose(table / len(one), 1 / table.size, atol=0.03)


def test_labels_are_what_the_pictures_show(test_set):
  images, features = test_set.images, test_set.features
  name = {
    p: [names[k] for k in features[p]]
    for p, names in test_set.value_names.items()
  }
  for i, image in enumerate(images.astype(float)):
    rim = np.median([image[0], image[-1], image[:, 0], image[:, -1]])
    inner = image[2:-2, 2:-2]
    corners = inner[[0, 0, -1, -1], [0, -1, 0, -1]]
    grey = np.median(corners)
    assert abs(grey - shapes._GREYS[name["background"][i]]) < 25
    level = shapes._FRAMES[name["frame"][i]]
    assert abs(rim - (grey if level is None else level)) < 10
    # What stands out by hue is the shape: its colour, place, area and form.
    inside = np.ptp(cv2.blur(inner, (3, 3)), axis=-1) > 45
    colour = np.median(inner[inside], 0)
    distances = {
      c: np.abs(colour - paint).sum() for c, paint in shapes._COLOURS.items()
    }
    assert min(distances, key=distances.get) == name["colour"][i]
    rows, columns = np.argwhere(inside).T
    assert np.abs(np.mean([rows, columns], 1) - 13.5).max() < 3.5
    is_large = np.sqrt(inside.sum() / np.pi) > 7
    assert is_large == (name["size"][i] == "large")
    is_bar = np.ptp(columns) > 1.4 * np.ptp(rows)
    assert is_bar == (name["shape"][i] == "bar")


def test_the_pictures_are_noisy(test_set):
  corners = test_set.images[:, 2, [2, -3]].astype(float)
  within = corners - corners.mean((1, 2), keepdims=True)
  assert 4.5 < np.median(within.std((1, 2))) < 7.5


def test_shapes_of_one_size_have_one_area():
  fixed = {"colour": "red", "size": "large", "frame": "no frame"}
  areas = [
    np.sum(
      shapes.render(
        shape=shape, background="dark", jitter=np.zeros(8), **fixed
      )[..., 0]
      - 30.0
    )
    / 190
    for shape in ("disc", "bar", "triangle")
  ]
  np.testing.assert_allclose(areas, np.pi * 8.0**2, rtol=0.05)


def test_a_variant_has_the_properties_of_its_name(tmp_path):
  variant = "position-shape-background"
  builder = shapes.Shapes(data_dir=tmp_path, config=variant)
  assert builder.data_path == tmp_path / "shapes" / variant / "1.0.0"
  assert list(builder.info.features) == ["image", *variant.split("-")]
  examples = [
    e for _, e in itertools.islice(builder._generate_examples("test"), 100)
  ]
  assert {e["shape"] for e in examples} == {"disc", "bar", "triangle"}
  for example in examples:
    image = cv2.imdecode(
      np.frombuffer(example["image"].getvalue(), np.uint8), 1
    )
    blurred = cv2.blur(image.astype(float), (3, 3))
    place = np.mean(np.argwhere(np.ptp(blurred, axis=-1) > 45), 0) > 15.5
    down, right = (w in example["position"] for w in ("bottom", "right"))
    assert place.tolist() == [down, right]


@pytest.mark.parametrize(
  ("name", "message"),
  [
    (
      "shapes/shape-form",
      "some of shape-colour-size-frame-background-position",
    ),
    ("shapes/size-size", "each once"),
    ("mnist/k=3", "'mnist' has no variants, got 'mnist/k=3'"),
  ],
)
def test_unknown_variants_are_named(tmp_path, name, message):
  with pytest.raises(DataError, match=message):
    load(name, "test", data_dir=tmp_path)
  assert not list(tmp_path.iterdir())
