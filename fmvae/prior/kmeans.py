"""k-means, which finds a start for the components."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior.arrays import matmul

_ITERATIONS = 10  # more do not change the bound
_MOST_SWAPS = 16


def lloyd(x: Array, means: Array, precision: Array) -> Array:
  """Ten k-means iterations on `[N, D]` from `[K, D]`, distances in `precision`.

  A centre that loses all its points stays where it is.
  """
  origin, scale = jnp.mean(x, 0, keepdims=True), jnp.sqrt(precision)[None]
  x = (x - origin) * scale

  def iterate(_, centres):
    nearest = assign(x, centres)
    count = jnp.zeros(len(centres), x.dtype).at[nearest].add(1)[:, None]
    sums = jnp.zeros_like(centres).at[nearest].add(x)
    return jnp.where(count > 0, sums / jnp.maximum(count, 1), centres)

  centres = (means - origin) * scale
  centres = lax.fori_loop(0, _ITERATIONS, iterate, centres)
  return origin + centres / scale


def centres(key: Array, x: Array, num: int) -> Array:
  """Of clusters of `[N, D]`, `[num, D]`, in the distances of x.

  Greedy k-means++ still gives a cluster in ten or so to its neighbour, and
  Lloyd's iterations do not find it again. After them, a few centres are
  therefore exchanged for points (Lattanzi and Sohler, 2019); all that twice.
  """
  swaps = min(2 + num // 8, _MOST_SWAPS)
  trials = 2 + int(math.log(num))  # points tried for a centre, scikit-learn's
  uniform = jax.random.uniform(key, (num + 2 * swaps, trials), x.dtype)
  unit = jnp.ones_like(x[0])

  def improve(i, centres):
    first = num + i * swaps
    swap = functools.partial(_swap, x, uniform)
    return lax.fori_loop(first, first + swaps, swap, lloyd(x, centres, unit))

  return lax.fori_loop(0, 2, improve, _seeds(x, uniform, num))


def assign(x: Array, centres: Array) -> Array:
  """The nearest of `[K, D]` to each point `[N, D]`, int `[N]`."""
  distances = jnp.sum(centres**2, -1)[None] - 2 * matmul(x, centres.T)
  return jnp.argmin(distances, -1)


def _distances(x: Array, centres: Array) -> Array:
  """Squared, from `[N, D]` to `[K, D]`, `[N, K]`."""
  squares = jnp.sum(x**2, -1)[:, None] + jnp.sum(centres**2, -1)[None]
  return jnp.maximum(squares - 2 * matmul(x, centres.T), 0)


def _draw(x: Array, weights: Array, uniform: Array) -> Array:
  """A point of `[N, D]`, by weights `[N]`, for each of `[T]`, `[T, D]`."""
  total = jnp.cumsum(weights)
  index = jnp.sum(total[None] < uniform[:, None] * total[-1], -1)
  return x[jnp.minimum(index, len(x) - 1)]


def _seeds(x: Array, uniform: Array, num: int) -> Array:
  """Greedy k-means++ (Arthur and Vassilvitskii, 2007).

  Each seed is the best of a few points, drawn by their squared distance from
  the nearest seed so far.
  """
  first = _draw(x, jnp.ones_like(x[:, 0]), uniform[0, :1])

  def choose(i, carry):
    seeds, nearest = carry
    tried = _draw(x, nearest, uniform[i])
    after = jnp.minimum(nearest[:, None], _distances(x, tried))
    best = jnp.argmin(jnp.sum(after, 0))
    return seeds.at[i].set(tried[best]), after[:, best]

  start = jnp.tile(first, (num, 1)), _distances(x, first)[:, 0]
  return lax.fori_loop(1, num, choose, start)[0]


def _swap(x: Array, uniform: Array, i: Array, centres: Array) -> Array:
  """Exchanges a centre for a point if the squared distances gain by it."""
  distances = _distances(x, centres)
  nearest, first = jnp.argmin(distances, -1), jnp.min(distances, -1)
  own = jnp.arange(len(centres))[None] == nearest[:, None]
  second = jnp.min(jnp.where(own, jnp.inf, distances), -1)
  tried = _draw(x, first, uniform[i])
  new = _distances(x, tried)
  kept = jnp.minimum(new, first[:, None])  # [N, trials], the centre stays
  loss = jnp.minimum(new, second[:, None]) - kept  # it goes
  more = jnp.zeros((len(centres), len(tried)), x.dtype).at[nearest].add(loss)
  total = jnp.sum(kept, 0)[None] + more
  out, into = jnp.unravel_index(jnp.argmin(total), total.shape)
  gains = total[out, into] < jnp.sum(first)
  return centres.at[out].set(jnp.where(gains, tried[into], centres[out]))
