"""Stochastic variational inference of the prior (Sec. 2.4.3, App. D).

Eq. 13 gives the batch optimum lambda* from three sums over the points,
n = sum gamma, sum gamma mu_phi and sum gamma (mu_phi^2 + sigma2_phi); eq. 14
mixes it with the current lambda. The same distribution in mean parameters,
with w = N / |B|, weighted mean x = sum gamma mu_phi / n and scatter
V = sum gamma ((mu_phi - x)^2 + sigma2_phi), is

  a* = a0 + w n / 2              s* = s0 + w n
  m* = (s0 m0 + w n x) / s*      c* = c0 + w n
  b* = b0 + (w V + (s0 w n / s*) (x - m0)^2) / 2.

Nothing cancels here but V, which is therefore summed around the weighted means
themselves, found in a first pass. Each point's largest responsibility, the only
one that counts where components lie far apart, enters by direct differences;
the rest enters by matrix products around the mixture's mean.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior import normal_gamma
from fmvae.prior.arrays import matmul
from fmvae.prior.checks import as_encodings, check_num_data, check_step_size
from fmvae.prior.normal_gamma import NormalGamma
from fmvae.prior.responsibilities import centre, responsibilities
from fmvae.prior.state import (
  FactorHyperprior,
  MeanParams,
  PriorState,
  split,
)


def _weighted_means(
  f: MeanParams, loc: Array, gamma: Array, psum: Callable
) -> Array:
  """sum gamma mu_phi / sum gamma `[K, D]`; m where a component has no point."""
  origin = centre(f)
  first, count = psum((matmul(gamma.T, loc - origin), jnp.sum(gamma, 0)))
  seen = count[:, None] > 0
  return jnp.where(
    seen, origin + first / jnp.where(seen, count[:, None], 1), f.m
  )


def _moments(
  f: MeanParams, at: Array, loc: Array, variance: Array, gamma: Array
) -> tuple[Array, Array, Array]:
  """Sums over points of gamma (1, e, e^2 + sigma2) with e = mu_phi - at_k.

  Args:
    f: the factor.
    at: origins close to the components' weighted means, `[K, D]`.
    loc: `[B, D]`.
    variance: `[B, D]`.
    gamma: `[B, K]`.

  Returns:
    The sums `[K]`, `[K, D]`, `[K, D]`.
  """
  top = jnp.argmax(gamma, -1)
  is_top = jax.nn.one_hot(top, gamma.shape[-1], dtype=bool)
  largest = jnp.where(is_top, gamma, 0)
  rest = jnp.where(is_top, 0, gamma)
  direct = loc - at[top]
  origin = centre(f)
  x, r = loc - origin, at - origin
  largest_sums = matmul(
    largest.T, jnp.concatenate([direct, direct**2 + variance], -1)
  )
  rest_sums = matmul(rest.T, jnp.concatenate([x, x**2 + variance], -1))
  first, second = jnp.split(largest_sums, 2, -1)
  rest_first, rest_second = jnp.split(rest_sums, 2, -1)
  rest_count = jnp.sum(rest, 0)[:, None]
  first += rest_first - rest_count * r
  second += rest_second - r * (2 * rest_first - rest_count * r)
  return jnp.sum(gamma, 0), first, second


def _update_factor(
  f: MeanParams,
  h: FactorHyperprior,
  at: Array,
  sums: tuple[Array, Array, Array],
  weight: Array,
  rho: Array | float,
) -> MeanParams:
  """Eq. 13 and 14 for one factor from its `_moments` over the global batch."""
  count, first, second = sums
  safe = jnp.maximum(count, jnp.finfo(count.dtype).tiny)[:, None]
  correction = first / safe  # x - at
  scatter = jnp.maximum(second - first * correction, 0)  # V
  offset = at - f.m + correction  # x - m
  n = weight * count[:, None]
  s = h.s0 + n
  from_m0 = f.m + offset - h.m0  # x - m0
  target = NormalGamma(
    m=f.m,  # not read by blend
    s=s,
    a=jnp.broadcast_to(h.a0 + 0.5 * n, s.shape),
    b=h.b0 + 0.5 * (weight * scatter + h.s0 * n / s * from_m0**2),
  )
  shift = (h.s0 * (h.m0 - f.m) + n * offset) / s  # m* - m
  new = normal_gamma.blend(f.normal_gamma, shift, target, rho)
  c = (1 - rho) * f.c + rho * (h.c0 + weight * count)
  return MeanParams(*new, c=c)


def svi_update(
  state: PriorState,
  loc: Array,
  log_var: Array | None = None,
  *,
  num_data: Array | float,
  step_size: Array | float,
  labels: Array | None = None,
  axis_name: str | None = None,
) -> PriorState:
  """One natural-gradient step on lambda and c, eq. 7 and 13-14.

  Responsibilities are recomputed from `loc` and `log_var` (step 3 of Sec.
  2.4), clamped where `labels` says so.

  Args:
    state: the prior.
    loc: encoder means `[..., L]`, this device's part of the batch; at least one
      point.
    log_var: encoder log variances `[..., L]`, None where `loc` is exact.
    num_data: N, the size of the training set.
    step_size: rho in [0, 1]; one goes to the optimum of this batch.
    labels: int `[..., I]`, a component below K_i or -1 where missing. A traced
      one outside that range counts as missing.
    axis_name: a mapped axis over which the batch is split evenly. The sums
      run over the global batch, so that the result does not depend on how it
      was split.

  Returns:
    The new state.

  Raises:
    ValueError: an argument of the wrong shape or type, no point at all, or a
      label, N or rho out of range. Traced values are not looked at.
  """
  check_num_data(num_data)
  check_step_size(step_size)
  loc, log_var = as_encodings(sum(state.dims), loc, log_var)
  gammas = responsibilities(state, loc, log_var, labels)
  if loc.size == 0:
    raise ValueError(f"loc must hold at least one point, got {loc.shape}")
  num_points = jnp.asarray(loc.size // loc.shape[-1], loc.dtype)

  def psum(tree):
    return tree if axis_name is None else lax.psum(tree, axis_name)

  weight = num_data / psum(num_points)
  return natural_step(state, loc, log_var, gammas, weight, step_size, psum)


def natural_step(
  state: PriorState,
  loc: Array,
  log_var: Array,
  gammas: Sequence[Array],
  weight: Array,
  rho: Array | float,
  psum: Callable,
) -> PriorState:
  """What `svi_update` does, for given responsibilities `[..., K_i]`.

  Args:
    state: the prior.
    loc: `[..., L]`.
    log_var: `[..., L]`.
    gammas: of every factor; points with zeros alone do not count.
    weight: w = N / |B|.
    rho: step size.
    psum: sums over the devices that share the batch.
  """
  factors = []
  for f, h, mu, lv, gamma in zip(
    state.factors,
    state.factor_hyperpriors,
    split(state, loc),
    split(state, log_var),
    gammas,
    strict=True,
  ):
    mu, variance, gamma = (
      x.reshape(-1, x.shape[-1]) for x in (mu, jnp.exp(lv), gamma)
    )
    at = _weighted_means(f, mu, gamma, psum)
    sums = psum(_moments(f, at, mu, variance, gamma))
    factors.append(_update_factor(f, h, at, sums, weight, rho))
  return dataclasses.replace(state, factors=tuple(factors))


def robbins_monro(
  kappa: float, tau0: float, initial: float | None = None
) -> Callable[[Array | int], Array]:
  """The step size rho_tau of Sec. 2.4.3.

  (tau0 + tau)^-kappa, at most one; with `initial`, the same curve scaled to
  start there, initial (1 + tau / tau0)^-kappa, which the paper's "initial
  Robbins-Monro fraction" of 0.01 asks for.

  Args:
    kappa: forgetting rate in (1/2, 1].
    tau0: delay, at least 0; above 0 with `initial`.
    initial: rho at step 0, in (0, 1].

  Returns:
    A schedule, step -> rho.

  Raises:
    ValueError: a value outside its range, by name.
  """
  if not 0.5 < kappa <= 1:
    raise ValueError(f"kappa must be in (1/2, 1], got {kappa}")
  if not 0 <= tau0 < float("inf"):
    raise ValueError(f"tau0 must be at least 0 and finite, got {tau0}")
  if initial is None:
    return lambda step: jnp.minimum((tau0 + jnp.asarray(step)) ** -kappa, 1.0)
  if not 0 < initial <= 1:
    raise ValueError(f"initial must be in (0, 1], got {initial}")
  if tau0 == 0:
    raise ValueError("tau0 must be above 0 when initial is given, got 0")
  return lambda step: initial * (1 + jnp.asarray(step) / tau0) ** -kappa
