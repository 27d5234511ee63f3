"""Ways to turn grey images into zeros and ones.

Three readings of "binarised" are in use, and reported likelihoods differ by
several nats between them, so a number means little without its binarisation.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fmvae.data.random import uniform_bits

_PIXELS_PER_DRAW = 2**22


def static(
  images: np.ndarray, seed: int, *, training: bool = False
) -> np.ndarray:
  """Draws each pixel once, as a Bernoulli variable of mean x/255.

  The draw depends on `seed`, the shape of `images` and which set they are. It
  is the same on every machine, so all runs see the same binary data set. This
  is the reading of "statically binarised"; a set drawn with another seed gives
  slightly different likelihoods.

  Args:
    images: uint8 [...].
    seed: 0 to 2^64 - 1.
    training: whether they are training images, whose draw is independent of the
      one for testing.

  Returns:
    uint8 [...] of zeros and ones.

  Raises:
    ValueError: if `images` is not uint8 or `seed` is out of range.
  """
  _check_uint8(images)
  of_set = " of training images" if training else ""
  bits = uniform_bits(seed, f"static binarisation{of_set}")
  flat = images.reshape(-1)
  binary = np.empty_like(flat)
  for start in range(0, flat.size, _PIXELS_PER_DRAW):
    part = flat[start : start + _PIXELS_PER_DRAW]
    uniform = (bits.random_raw(part.size) >> np.uint64(11)) * 2.0**-53
    binary[start : start + _PIXELS_PER_DRAW] = uniform * 255 < part
  return binary.reshape(images.shape)


def threshold(images: np.ndarray, level: float = 0.5) -> np.ndarray:
  """Sets each pixel to one where x/255 > `level`.

  No randomness. It keeps strokes whole and drops the grey edges, which makes
  images easier to code than a Bernoulli draw of the same pixels or harder,
  depending on `level`.

  Args:
    images: uint8 [...].
    level: 0 <= level < 1.

  Returns:
    uint8 [...] of zeros and ones.

  Raises:
    ValueError: if `images` is not uint8 or `level` is out of range.
  """
  _check_uint8(images)
  if not 0 <= level < 1:
    raise ValueError(f"level must be at least 0 and below 1, got {level}")
  return (images > level * 255).astype(np.uint8)


def dynamic(key: jax.Array, images: jax.Array) -> jax.Array:
  """Draws each pixel anew as a Bernoulli variable of mean x/255, in JAX.

  A fresh key for each step makes every epoch a new draw, which acts as data
  augmentation: likelihoods trained this way come out better than with a
  static draw and must not be compared with those.

  Args:
    key: one PRNG key, used up by this call.
    images: uint8 [...], or floats in 0..255.

  Returns:
    float32 [...] of zeros and ones.
  """
  mean = images.astype(jnp.float32) / 255
  uniform = jax.random.uniform(key, images.shape, jnp.float32)
  return (uniform < mean).astype(jnp.float32)


def _check_uint8(images: np.ndarray) -> None:
  if images.dtype != np.uint8:
    raise ValueError(f"images must be uint8, got {images.dtype}")
