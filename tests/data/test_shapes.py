"""The rendered set: independent properties, and pictures that show them."""

import itertools

import numpy as np
import pytest

from fmvae.data import load, shapes


@pytest.fixture(scope="module")
def test_set(tmp_path_factory):
  return load("shapes", "test", data_dir=tmp_path_factory.mktemp("shapes"))


def test_names_and_sizes(test_set):
  assert test_set.images.shape == (2_000, 32, 32, 3)
  assert test_set.images.dtype == np.uint8
  assert test_set.values["shape"] == ("disc", "square", "triangle")
  assert set(test_set.values) == set(test_set.labels)
  assert set(test_set.labels) == {
    "shape",
    "colour",
    "size",
    "position",
    "background",
  }


def test_properties_are_uniform_and_independent(test_set):
  for values in test_set.labels.values():
    share = np.bincount(values) / len(values)
    np.testing.assert_allclose(share, 1 / len(share), atol=0.04)
  for one, other in itertools.combinations(test_set.labels.values(), 2):
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)
    np.testing.assert_allclose(table / len(one), 1 / table.size, atol=0.03)


def test_labels_are_what_the_pictures_show(test_set):
  images = test_set.images.astype(float)
  labels = test_set.labels
  # A corner far from every shape is background.
  grey = images.reshape(len(images), -1, 3).std(-1) < 1
  levels = np.array(
    [np.median(x.reshape(-1, 3)[g]) for x, g in zip(images, grey, strict=True)]
  )
  for k, name in enumerate(test_set.values["background"]):
    of_k = levels[labels["background"] == k]
    assert abs(of_k - shapes._GREYS[name]).max() <= 16
  # What is not grey is the shape: its centre, area and colour.
  places = np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1).reshape(
    -1, 2
  )
  for x, g, i in zip(images, grey, range(len(images)), strict=True):
    if g.all() or i % 7:
      continue
    inside = ~g
    name = test_set.values["position"][labels["position"][i]]
    centre = places[inside].mean(0)
    assert np.abs(centre - shapes._CENTRES[name]).max() < 4
    radius = np.sqrt(inside.sum() / np.pi)
    size = test_set.values["size"][labels["size"][i]]
    assert (radius > 6.6) == (size == "large")
    colour = test_set.values["colour"][labels["colour"][i]]
    paint = x.reshape(-1, 3)[inside]
    solid = paint[np.argsort(paint.std(-1))[-5:]].mean(0)
    distances = {
      c: np.abs(solid - np.array(v)).sum() for c, v in shapes._COLOURS.items()
    }
    assert min(distances, key=distances.get) == colour


def test_shapes_of_one_size_have_one_area():
  fixed = {"colour": "red", "size": "large", "position": "top left"}
  areas = [
    np.sum(
      shapes.render(
        shape=shape, background="dark", jitter=np.zeros(8), **fixed
      )[..., 0]
      - 30.0
    )
    / 190
    for shape in ("disc", "square", "triangle")
  ]
  np.testing.assert_allclose(areas, np.pi * 7.2**2, rtol=0.04)
