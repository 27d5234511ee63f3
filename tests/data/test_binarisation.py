import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae.data import binarisation
from fmvae.data.random import uniform_bits

_GREY = np.repeat(np.arange(256, dtype=np.uint8), 4_000).reshape(4_000, 256, 1)


def _means(binary):
  return np.asarray(binary).reshape(256, 4_000).mean(axis=1, dtype=float)


def _assert_bernoulli(means):
  p = np.arange(256) / 255
  assert means[0] == 0  # never on where x = 0
  assert means[255] == 1  # always on where x = 255
  z = (means - p)[1:255] / np.sqrt(p * (1 - p) / 4_000)[1:255]
  assert np.abs(z).max() < 5
  assert abs(z.mean()) < 4 / np.sqrt(254)


def test_static_has_the_mean_of_each_level():
  binary = binarisation.static(_GREY, seed=0)
  assert binary.dtype == np.uint8
  assert binary.shape == _GREY.shape
  assert set(np.unique(binary)) == {0, 1}
  _assert_bernoulli(_means(binary))


def test_static_is_fixed_by_its_seed():
  images = _GREY[:100]
  first = binarisation.static(images, seed=7)
  np.testing.assert_array_equal(first, binarisation.static(images, seed=7))
  assert (first != binarisation.static(images, seed=8)).any()


def test_static_draw_never_changes():
  binary = binarisation.static(_GREY[::40], seed=0)
  assert hashlib.sha256(binary.tobytes()).hexdigest()[:16] == "a9190cb34095f29b"
  binary = binarisation.static(_GREY[::40], seed=0, training=True)
  assert hashlib.sha256(binary.tobytes()).hexdigest()[:16] == "fced7da886298065"


def test_the_draw_for_training_is_independent_of_the_one_for_testing():
  draws = [
    binarisation.static(_GREY, seed=0, training=training)
    for training in (True, False)
  ]
  _assert_bernoulli(_means(draws[0]))
  p = np.arange(256) / 255
  both = _means(draws[0] & draws[1])
  stderr = np.sqrt(p**2 * (1 - p**2) / 4_000)
  z = (both - p**2)[1:255] / stderr[1:255]
  assert np.abs(z).max() < 5
  assert abs(z.mean()) < 4 / np.sqrt(254)


def test_static_does_not_depend_on_the_chunks():
  num, chunk = 2 * binarisation._PIXELS_PER_DRAW + 97, 97
  images = np.resize(np.arange(256, dtype=np.uint8), (num, 1))
  whole = uniform_bits(1, "static binarisation").random_raw(num)
  uniform = (whole[:, None] >> np.uint64(11)) * 2.0**-53
  expected = uniform * 255 < images
  np.testing.assert_array_equal(binarisation.static(images, 1), expected)
  # Nor do the numbers, whatever the size of a chunk.
  bits = uniform_bits(1, "static binarisation")
  parts = [bits.random_raw(chunk) for _ in range(100)]
  np.testing.assert_array_equal(np.concatenate(parts), whole[: 100 * chunk])


def test_threshold_is_strict():
  images = np.array([0, 63, 64, 127, 128, 255], np.uint8)
  half = binarisation.threshold(images)
  assert half.dtype == np.uint8
  np.testing.assert_array_equal(half, [0, 0, 0, 0, 1, 1])
  np.testing.assert_array_equal(
    binarisation.threshold(images, 0.25), [0, 0, 1, 1, 1, 1]
  )
  np.testing.assert_array_equal(
    binarisation.threshold(images, 0), [0, 1, 1, 1, 1, 1]
  )


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (
      lambda: binarisation.static(np.zeros(3), 0),
      "images must be uint8, got float64",
    ),
    (
      lambda: binarisation.threshold(np.zeros(3)),
      "images must be uint8, got float64",
    ),
    (lambda: binarisation.threshold(_GREY[:1], 1.0), "level"),
    (lambda: binarisation.static(_GREY[:1], -1), "seed"),
  ],
)
def test_bad_arguments_are_refused(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def test_dynamic_has_the_mean_of_each_level():
  binary = jax.jit(binarisation.dynamic)(jax.random.key(0), jnp.array(_GREY))
  assert binary.dtype == jnp.float32
  assert binary.shape == _GREY.shape
  assert set(np.unique(binary)) == {0.0, 1.0}
  _assert_bernoulli(_means(binary))


def test_dynamic_with_one_key_per_example():
  images = jnp.full((6, 8, 8, 1), 128, jnp.uint8)
  keys = jax.random.split(jax.random.key(1), 6)
  batch = jax.jit(jax.vmap(binarisation.dynamic))(keys, images)
  for index in range(6):
    np.testing.assert_array_equal(
      batch[index], binarisation.dynamic(keys[index], images[index])
    )
  assert len({row.tobytes() for row in np.asarray(batch)}) == 6
