import jax
import jax.numpy as jnp
import numpy as np

from fmvae.data import augment

IMAGE = jnp.arange(5 * 4 * 2, dtype=jnp.float32).reshape(5, 4, 2)


def _draws(flips, shifts):
  keys = jax.random.split(jax.random.key(0), 400)
  draw = jax.jit(jax.vmap(lambda key: augment(key, IMAGE, flips, shifts)))
  return np.asarray(draw(keys))


def test_half_of_the_images_are_mirrored():
  draws = _draws(True, 0)
  mirrored = np.all(draws == np.asarray(IMAGE)[:, ::-1], (1, 2, 3))
  plain = np.all(draws == np.asarray(IMAGE), (1, 2, 3))
  assert (mirrored ^ plain).all()
  assert 160 < mirrored.sum() < 240


def test_every_shift_comes_up_and_edges_fill_what_is_free():
  padded = np.pad(np.asarray(IMAGE), ((2, 2), (2, 2), (0, 0)), "edge")
  expected = {
    padded[y : y + 5, x : x + 4].tobytes() for y in range(5) for x in range(5)
  }
  assert {draw.tobytes() for draw in _draws(False, 2)} == expected


def test_without_either_images_are_as_they_were():
  assert (_draws(False, 0) == np.asarray(IMAGE)).all()
