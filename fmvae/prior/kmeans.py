"""k-means, which finds a start for the components."""

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior.arrays import matmul

_ITERATIONS = 10  # more do not change the bound
_MOST_SWAPS = 32


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
  Lloyd's iterations do not find it again. Between two runs of them a few
  centres are therefore exchanged for points (Lattanzi and Sohler, 2019).
  """
  seed_key, swap_key = jax.random.split(key)
  unit = jnp.ones_like(x[0])
  found = lloyd(x, _seeds(seed_key, x, num), unit)
  return lloyd(x, _swaps(swap_key, x, found), unit)


def assign(x: Array, centres: Array) -> Array:
  """The nearest of `[K, D]` to each point `[N, D]`, int `[N]`."""
  distances = jnp.sum(centres**2, -1)[None] - 2 * matmul(x, centres.T)
  return jnp.argmin(distances, -1)


def _distances(x: Array, centres: Array) -> Array:
  """Squared, from `[N, D]` to `[K, D]`, `[N, K]`."""
  squares = jnp.sum(x**2, -1)[:, None] + jnp.sum(centres**2, -1)[None]
  return jnp.maximum(squares - 2 * matmul(x, centres.T), 0)


def _draw(key: Array, x: Array, weights: Array, num: int) -> Array:
  """Some of the points `[N, D]`, by weights `[N]`, `[num, D]`."""
  total = jnp.cumsum(weights)
  uniform = jax.random.uniform(key, (num,), total.dtype) * total[-1]
  return x[jnp.minimum(jnp.searchsorted(total, uniform), len(x) - 1)]


def _trials(num: int) -> int:
  """How many points are tried for a centre, scikit-learn's number."""
  return 2 + int(math.log(num))


def _seeds(key: Array, x: Array, num: int) -> Array:
  """Greedy k-means++ (Arthur and Vassilvitskii, 2007).

  Each seed is the best of a few points, drawn by their squared distance from
  the nearest seed so far.
  """
  first_key, key = jax.random.split(key)
  first = x[jax.random.randint(first_key, (1,), 0, len(x))]

  def choose(i, carry):
    seeds, nearest = carry
    tried = _draw(jax.random.fold_in(key, i), x, nearest, _trials(num))
    after = jnp.minimum(nearest[:, None], _distances(x, tried))
    best = jnp.argmin(jnp.sum(after, 0))
    return seeds.at[i].set(tried[best]), after[:, best]

  start = jnp.tile(first, (num, 1)), _distances(x, first)[:, 0]
  return lax.fori_loop(1, num, choose, start)[0]


def _swaps(key: Array, x: Array, centres: Array) -> Array:
  """Exchanges centres for points where the squared distances gain by it."""
  num = len(centres)

  def swap(i, centres):
    distances = _distances(x, centres)
    nearest, first = jnp.argmin(distances, -1), jnp.min(distances, -1)
    own = jnp.arange(num)[None] == nearest[:, None]
    second = jnp.min(jnp.where(own, jnp.inf, distances), -1)
    tried = _draw(jax.random.fold_in(key, i), x, first, _trials(num))
    new = _distances(x, tried)
    kept = jnp.minimum(new, first[:, None])  # [N, trials], the centre stays
    loss = jnp.minimum(new, second[:, None]) - kept  # it goes
    total = jnp.sum(kept, 0)[None] + jnp.zeros((num, new.shape[1]), x.dtype).at[
      nearest
    ].add(loss)
    out, into = jnp.unravel_index(jnp.argmin(total), total.shape)
    gains = total[out, into] < jnp.sum(first)
    return centres.at[out].set(jnp.where(gains, tried[into], centres[out]))

  return lax.fori_loop(0, min(4 + num // 4, _MOST_SWAPS), swap, centres)
