"""Each kind of preprocessing, and that equal ones share compiled code."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae import data
from fmvae.data import Preprocessing, binarisation
from fmvae.data.preprocessing import KINDS, standardised

_IMAGES = np.resize(np.arange(256, dtype=np.uint8), (6, 8, 8, 1))
_KEY = jax.random.key(0)


def _of(kind):
  return Preprocessing(kind, threshold=0.25, seed=3)


@pytest.mark.parametrize(
  ("kind", "training", "expected"),
  [
    ("static", True, binarisation.static(_IMAGES, 3, training=True)),
    ("static", False, binarisation.static(_IMAGES, 3)),
    ("dynamic", False, binarisation.static(_IMAGES, 3)),
    ("threshold", True, binarisation.threshold(_IMAGES, 0.25)),
    ("threshold", False, binarisation.threshold(_IMAGES, 0.25)),
  ],
)
def test_what_is_the_same_each_time_is_made_binary_for_good(
  kind, training, expected
):
  prepared = _of(kind).prepare(_IMAGES, training=training)
  assert prepared.dtype == np.uint8
  np.testing.assert_array_equal(prepared, expected)
  to_input = _of(kind).input(training)
  for image in prepared:
    x = to_input(_KEY, jnp.asarray(image))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, image)


@pytest.mark.parametrize(
  ("kind", "training"), [("dynamic", True), ("none", True), ("none", False)]
)
def test_other_images_are_left_where_they_are(prepared, kind, training):
  records = data.load("uci_digits", "test", data_dir=prepared, in_memory=False)
  for images in (_IMAGES, records.images):
    assert _of(kind).prepare(images, training=training) is images


def test_images_on_disk_are_made_binary_too(prepared):
  on_disk, in_memory = (
    data.load("uci_digits", "test", data_dir=prepared, in_memory=kept).images
    for kept in (False, True)
  )
  for kind in ("static", "threshold"):
    np.testing.assert_array_equal(
      *(_of(kind).prepare(x, training=False) for x in (on_disk, in_memory))
    )


def test_dynamic_draws_anew_for_each_key():
  to_input = _of("dynamic").input(training=True)
  x = to_input(_KEY, _IMAGES[0])
  np.testing.assert_array_equal(x, binarisation.dynamic(_KEY, _IMAGES[0]))
  assert (x != to_input(jax.random.key(1), _IMAGES[0])).any()


@pytest.mark.parametrize("training", [True, False])
def test_without_binarisation_the_range_is_minus_one_to_one(training):
  levels = jnp.array([0, 51, 255], jnp.uint8).reshape(1, 1, 3)
  x = _of("none").input(training)(_KEY, levels)
  assert x.dtype == jnp.float32
  np.testing.assert_allclose(x.ravel(), [-1, -0.6, 1], rtol=1e-6)
  assert (x.min(), x.max()) == (-1, 1)  # exactly


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_equal_values_share_a_function_and_what_is_compiled(kind, training):
  first, second = _of(kind), _of(kind)
  assert first == second
  assert hash(first) == hash(second)
  assert first.input(training) is second.input(training)
  traces = []

  @functools.partial(jax.jit, static_argnums=0)
  def run(preprocessing, key, image):
    traces.append(preprocessing)
    return preprocessing.input(training)(key, image)

  for preprocessing in (first, second, first):
    run(preprocessing, _KEY, _IMAGES[0])
  assert len(traces) == 1


def test_another_value_is_another_preprocessing():
  one = _of("static")
  for changes in ({"seed": 4}, {"threshold": 0.5}, {"binarisation": "none"}):
    assert dataclasses.replace(one, **changes) != one
  with pytest.raises(dataclasses.FrozenInstanceError):
    one.seed = 4


def test_an_unknown_kind_is_refused_by_name():
  with pytest.raises(
    ValueError,
    match=r"^binarisation must be one of \('static', 'dynamic', 'threshold',"
    r" 'none'\), got 'dither'$",
  ):
    Preprocessing("dither")


def test_vectors_are_standardised_by_those_of_training():
  rng = np.random.default_rng(0)
  vectors = np.float32(rng.normal([1000, 0, 7], [0.1, 1e-3, 0], (500, 3)))
  kept = data.from_arrays(vectors).images
  made = standardised(kept)
  assert made == standardised(kept)
  assert made.prepare(kept, training=True) is kept
  assert made.input(True) == made.input(False)
  x = jax.vmap(made.input(True))(jax.random.split(_KEY, 500), kept)
  assert x.shape == (500, 1, 1, 3)
  np.testing.assert_allclose(x.mean(0)[0, 0], 0, atol=1e-3)
  np.testing.assert_allclose(x.std(0)[0, 0], [1, 1, 0], rtol=1e-3)
  np.testing.assert_allclose(made.restore(x), vectors, rtol=1e-5)
