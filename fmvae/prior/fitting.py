"""The prior alone, as a density of points that are known exactly.

`fit` chooses units, a start and step sizes for `svi_update`. Units are mean and
standard deviation of each feature among the first points, for which the
hyperprior is stated (`PriorState.units`). The start is k-means++ on them, each
point given wholly to its nearest centre, and one update of step size one. Then
points that fit into one batch are all seen in every step, of size one, which is
coordinate ascent; others pass in batches, with Robbins-Monro steps.

With exact points and the responsibilities of eq. 5 the bound on log p(z), per
point, is

  mean_n sum_i logsumexp_k(log rho_ik^(n)) - (1/N) (KL_NG + KL_Dir),

rho being eq. 5 before normalising. It is taken on the same points at each look,
so that its changes are those of the state, and on others than the start, which
knows those too well, if there are more.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fmvae.prior import kmeans
from fmvae.prior.arrays import padded
from fmvae.prior.checks import as_factors, check_num_data
from fmvae.prior.responsibilities import component_logits
from fmvae.prior.state import (
  Hyperprior,
  MeanParams,
  PriorState,
  Units,
  kl_global,
)
from fmvae.prior.svi import natural_step, robbins_monro

_BATCH = 4096
_START = 8192  # points, at most, for the start
_FIRST = _START + _BATCH  # and others for looks at the bound
_EVERY = 10  # steps from one look at the bound to the next
_PATIENCE = 2  # looks without a gain of `tol` before it stops
SCHEDULE = robbins_monro(kappa=0.51, tau0=1)

# The paper's s0 = 1 expects means within one standard deviation of a component
# from the centre, and widens those of clusters that lie apart; this one, ten.
DENSITY = Hyperprior(s0=0.01)

Factors = tuple[tuple[int, int], ...]


class Fit(NamedTuple):
  """What `fit` found.

  Attributes:
    state: in the units of the points; every function of `fmvae.prior` takes it.
    trace: (step, bound on the log density in nats per point) of every look.
    converged: whether the bound had stopped to rise before `max_steps`.
  """

  state: PriorState
  trace: tuple[tuple[int, float], ...]
  converged: bool


def fit(
  key: Array,
  points: Any,
  factors: Iterable[tuple[int, int]],
  hyperprior: Hyperprior = DENSITY,
  *,
  num_data: int | None = None,
  batch_size: int = _BATCH,
  max_steps: int = 2000,
  tol: float = 1e-3,
) -> Fit:
  """The posterior of the prior's parameters given points, a density of them.

  The features may have any mean and scale; `log_prob`, `codes`,
  `responsibilities` and `sample` take the state that comes back and have the
  units of `points`. The work is done in float32, or in float64 where JAX has it
  enabled and the points are.

  Args:
    key: a PRNG key; with the same one the result is the same.
    points: `[N, L]`, or an iterable of batches `[B, L]`, as many as it has in
      the order it has them. One that can be iterated anew is, at its end.
    factors: (D_i, K_i) of every factor, over consecutive features.
    hyperprior: of the features less their mean, over their standard deviation;
      the paper's, with means that may lie apart (s0 = 0.01), by default.
    num_data: N; for an iterable, which does not say it.
    batch_size: of an array's batches, drawn at random without replacement.
    max_steps: at most.
    tol: stop when the bound gains less than this, in nats per point, in two
      times ten steps.

  Raises:
    ValueError: points of a wrong shape, that are not finite, fewer than a
      factor has components, or whose spread cannot be resolved in this
      precision; or another argument out of its range.
  """
  factors = as_factors(factors)
  for name, number in (("batch_size", batch_size), ("max_steps", max_steps)):
    if number < 1:
      raise ValueError(f"{name} must be at least 1, got {number}")
  if not tol >= 0:
    raise ValueError(f"tol must be at least 0, got {tol}")
  latent = sum(d for d, _ in factors)
  start_key, order_key = jax.random.split(key)
  if hasattr(points, "shape"):
    array = _as_points(points, latent)
    whole = len(array) <= batch_size
    num_data = len(array) if num_data is None else num_data
    first, batches = _from_array(order_key, array, batch_size)
  elif num_data is None:
    raise ValueError("num_data must be given where points are no array")
  else:
    whole = False
    first, batches = _from_iterable(points, latent)
  check_num_data(num_data)
  largest = max(k for _, k in factors)
  if len(first) < largest:
    raise ValueError(
      f"points must be at least as many as the components, {largest}, got "
      f"n_samples = {len(first)}"
    )
  total, first = float(num_data), _as_floats(first)
  units, start = _units(first), _padded(first[:_START])
  others = len(first) > _START and not whole
  looked_at = _padded(first[_START:] if others else first)
  state = _start(start_key, factors, hyperprior, units, *start, total)

  def bound() -> float:
    return float(_step(state, *looked_at, total, 1.0)[1])

  trace, best, waited, step = [(0, bound())], -np.inf, 0, 0
  for step, batch in zip(range(1, max_steps + 1), batches, strict=False):
    rho = 1.0 if whole else SCHEDULE(step)
    points = looked_at if whole else _padded(batch)
    state, _ = _step(state, *points, total, rho)
    if step % _EVERY == 0:
      best = max(best, trace[-1][1])
      trace.append((step, bound()))
      waited = 0 if trace[-1][1] > best + tol else waited + 1
      if waited == _PATIENCE:
        return Fit(state, tuple(trace), True)
  if step % _EVERY:
    trace.append((step, bound()))
  return Fit(state, tuple(trace), False)


def _as_points(points: Any, latent: int) -> np.ndarray:
  """`[N, L]` on the host, of any type of number."""
  points = np.asarray(points)
  if points.ndim != 2 or points.shape[1] != latent or not len(points):
    raise ValueError(
      f"points must be [N, {latent}] with N at least 1, got {points.shape}"
    )
  return points


def _as_floats(batch: np.ndarray) -> np.ndarray:
  """The batch in the precision of the work, with a look at its values."""
  wide = np.result_type(batch, np.float32)
  batch = batch.astype(jax.dtypes.canonicalize_dtype(wide), copy=False)
  if not np.all(np.isfinite(batch)):
    raise ValueError(f"points must be finite in {batch.dtype}, got NaN or inf")
  return batch


def _from_array(
  key: Array, points: np.ndarray, batch_size: int
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
  """Points for the start, and batches without end."""
  rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
  shuffled = rng.permutation(len(points))
  if len(points) <= batch_size:
    return points[shuffled], itertools.repeat(points)

  def batches() -> Iterator[np.ndarray]:
    left = np.zeros(0, int)
    while True:
      if len(left) < batch_size:
        left = np.concatenate([left, rng.permutation(len(points))])
      yield _as_floats(points[left[:batch_size]])
      left = left[batch_size:]

  return points[shuffled[:_FIRST]], batches()


def _from_iterable(
  points: Iterable[Any], latent: int
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
  """The same, as long as there are batches."""

  def batches() -> Iterator[np.ndarray]:
    iterator = iter(points)
    while True:
      empty = True
      for batch in iterator:
        empty = False
        yield _as_floats(_as_points(batch, latent))
      iterator = iter(points)
      if empty or iterator is points:
        return

  stream, first, num = batches(), [], 0
  for batch in stream:
    first.append(batch)
    num += len(batch)
    if num >= _FIRST:
      break
  if not first:
    raise ValueError("points must hold at least one batch, got none")
  return np.concatenate(first), stream


def _units(first: np.ndarray) -> Units:
  """Mean and standard deviation of every feature; 1 where it is constant."""
  floats = first.dtype
  origin = first[:1].astype(np.float64)
  centred = first - origin
  loc, scale = (origin + centred.mean(0))[0], centred.std(0)
  varies, info = scale > 0, jnp.finfo(floats)
  least, most = 1e4 * float(info.tiny) ** 0.5, 1e-4 * float(info.max) ** 0.5
  resolved = 100 * float(info.eps) * np.abs(first).max(0) <= scale
  for j in np.flatnonzero(varies & ~resolved):
    raise ValueError(
      f"points[:, {j}] must vary by more than {floats} resolves, got a "
      f"standard deviation of {scale[j]:.3g} around {loc[j]:.6g}: subtract its "
      "mean first"
    )
  for j in np.flatnonzero(varies & ~((scale > least) & (scale < most))):
    raise ValueError(
      f"points[:, {j}] must have a standard deviation from {least:.0e} to "
      f"{most:.0e} in {floats}, got {scale[j]:.3g}: scale it first"
    )
  scale = np.where(varies, scale, 1)
  return Units(jnp.asarray(loc, floats), jnp.asarray(scale, floats))


def _padded(batch: np.ndarray) -> tuple[Array, int]:
  """The batch with repetitions, and how many points it has."""
  return jnp.asarray(padded(batch)), len(batch)


def _exact(points: Array) -> Array:
  """Their log variance."""
  return jnp.full_like(points, -jnp.inf)


def _counted(points: Array, num: Array | int) -> Array:
  """Which are no repetition, `[B]`."""
  return jnp.arange(len(points)) < num


@functools.partial(jax.jit, static_argnames=("factors", "hyperprior"))
def _start(
  key: Array,
  factors: Factors,
  hyperprior: Hyperprior,
  units: Units,
  points: Array,
  num: Array,
  num_data: Array,
) -> PriorState:
  """The update of step size one from the nearest of k-means' centres."""
  counted = _counted(points, num)[:, None]
  standard = (points - units.loc[None]) / units.scale[None]
  params, gammas, offset = [], [], 0
  for (d, k), subkey in zip(
    factors, jax.random.split(key, len(factors)), strict=True
  ):
    x = standard[:, offset : offset + d]
    nearest = kmeans.assign(x, kmeans.centres(subkey, x, k))
    gammas.append(counted * jax.nn.one_hot(nearest, k, dtype=x.dtype))
    one = jnp.ones((k, d), x.dtype)  # forgotten, but for the origin of sums
    m = one * units.loc[None, offset : offset + d]
    params.append(MeanParams(m=m, s=one, a=one, b=one, c=one[:, 0]))
    offset += d
  state = PriorState(tuple(params), hyperprior, units)
  weight = num_data / num
  return natural_step(
    state, points, _exact(points), gammas, weight, 1.0, lambda sums: sums
  )


@jax.jit
def _step(
  state: PriorState, points: Array, num: Array, num_data: Array, rho: Array
) -> tuple[PriorState, Array]:
  """`svi_update`, and the bound before it, without the repeated points."""
  counted = _counted(points, num)
  logits = component_logits(state, points)
  each = sum(jax.nn.logsumexp(x, -1) for x in logits)
  local = jnp.sum(jnp.where(counted, each, 0)) / num
  gammas = [counted[:, None] * jax.nn.softmax(x) for x in logits]
  new = natural_step(
    state,
    points,
    _exact(points),
    gammas,
    num_data / num,
    rho,
    lambda sums: sums,
  )
  return new, local - jnp.sum(kl_global(state)) / num_data
