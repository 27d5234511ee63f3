"""Changes to training images that leave what is known of them true."""

import jax
import jax.numpy as jnp
from jax import Array, lax

_MOST_BLUR = 0.03  # standard deviation over the side of the image


def augment(key: Array, image: Array, flips: bool, shifts: int) -> Array:
  """A training image as it might as well have been.

  Args:
    key: a PRNG key.
    image: `[H, W, C]`.
    flips: whether it is mirrored, left for right, half of the times.
    shifts: pixels by which it is moved at most, evenly in both directions;
      its edges fill what becomes free.
  """
  flip_key, shift_key = jax.random.split(key)
  if flips:
    mirrored = jax.random.bernoulli(flip_key)
    image = jnp.where(mirrored, image[:, ::-1], image)
  if shifts:
    padded = jnp.pad(
      image, ((shifts, shifts), (shifts, shifts), (0, 0)), "edge"
    )
    start = jax.random.randint(shift_key, (2,), 0, 2 * shifts + 1)
    image = lax.dynamic_slice(padded, (*start, 0), image.shape)
  return image


def blur(key: Array, image: Array) -> Array:
  """An image, every second one softer by a Gaussian of up to 3 % of its sides.

  Args:
    key: a PRNG key.
    image: `[H, W, C]`.
  """
  width_key, whether_key = jax.random.split(key)
  for axis in (0, 1):
    side = image.shape[axis]
    std = _MOST_BLUR * side * jax.random.uniform(width_key, minval=0.1)
    offsets = jnp.arange(side)[:, None] - jnp.arange(side)[None]
    taps = jax.nn.softmax(-0.5 * (offsets / std) ** 2, -1)
    taps = jnp.where(jax.random.bernoulli(whether_key), taps, jnp.eye(side))
    image = jnp.moveaxis(jnp.tensordot(taps, image, (1, axis)), 0, axis)
  return image
