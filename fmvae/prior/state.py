"""The prior's state: q(mu, alpha) and q(pi) of every factor (Sec. 2.3)."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior import dirichlet, normal_gamma
from fmvae.prior.checks import as_encodings, check_num_data
from fmvae.prior.normal_gamma import NaturalParams, NormalGamma

_LLOYD_ITERATIONS = 10  # more do not change the bound
_DEFAULT_POINTS = 10.0  # a start's weight per component, without num_data


@dataclasses.dataclass(frozen=True)
class Hyperprior:
  """Parameters of p(xi), the paper's values by default (Sec. 2.2)."""

  m0: float = 0.0
  s0: float = 1.0
  a0: float = 0.01
  b0: float = 0.01
  c0: float = 1.0

  def __post_init__(self):
    most = float(jnp.finfo(jnp.float32).max)
    for name in ("s0", "a0", "b0", "c0"):
      if not 0 < getattr(self, name) <= most:
        raise ValueError(
          f"hyperprior.{name} must be positive and finite in float32, got "
          f"{getattr(self, name)}"
        )
    if not abs(self.m0) <= most:
      raise ValueError(
        f"hyperprior.m0 must be finite in float32, got {self.m0}"
      )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MeanParams:
  """One factor's posterior in mean parameters (Sec. 2.3)."""

  m: Array  # [K, D] mean of mu
  s: Array  # [K, D] precision of mu in units of alpha
  a: Array  # [K, D] shape of alpha
  b: Array  # [K, D] rate of alpha
  c: Array  # [K] Dirichlet counts

  @property
  def normal_gamma(self) -> NormalGamma:
    """q(mu, alpha), four arrays `[K, D]`."""
    return NormalGamma(self.m, self.s, self.a, self.b)

  @property
  def natural(self) -> NaturalParams:
    """Natural parameters lambda1..lambda4 of eq. 12, each `[K, D]`."""
    return normal_gamma.to_natural(self.normal_gamma)

  @property
  def counts(self) -> Array:
    """Dirichlet counts `[K]`."""
    return self.c


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PriorState:
  """The posterior over all prior parameters xi, an immutable pytree.

  Its leaves are mean parameters. They stand one to one for the natural
  parameters lambda (App. B), which `factors[i].natural` computes, and keep the
  digits that lambda2 loses in float32; see `fmvae.prior.normal_gamma`.
  """

  factors: tuple[MeanParams, ...]
  hyperprior: Hyperprior = dataclasses.field(metadata={"static": True})

  @property
  def dims(self) -> tuple[int, ...]:
    """D_i of every factor."""
    return tuple(f.m.shape[-1] for f in self.factors)

  @property
  def components(self) -> tuple[int, ...]:
    """K_i of every factor."""
    return tuple(f.m.shape[-2] for f in self.factors)


class Usage(NamedTuple):
  """How a factor's components are used, according to q(pi)."""

  share: Array  # [K] expected mixing weight c_k / sum c
  pruned: Array  # [K] bool: fewer than one data point beyond the hyperprior


def init(
  key: Array,
  factors: Sequence[tuple[int, int]],
  hyperprior: Hyperprior = Hyperprior(),
  *,
  loc: Array | None = None,
  log_var: Array | None = None,
  num_data: Array | float | None = None,
) -> PriorState:
  """A start that breaks the symmetry between components and does not collapse.

  With `loc` and `log_var`, encodings of training points, the components start
  at k-means centres: randomly chosen points and ten of Lloyd's iterations. Each
  starts with the precision of all encodings pooled, per dimension. Without,
  means are drawn from N(0, 0.1^2) with precision one. The obvious N(0, 1)
  silently ends with one component in use.

  Args:
    key: a PRNG key.
    factors: (D_i, K_i) of every factor.
    hyperprior: parameters of p(xi).
    loc: encoder means `[N, L]` with N at least the largest K_i.
    log_var: encoder log variances `[N, L]`.
    num_data: the start weighs as if every component held num_data / K_i
      points. Pass what `svi_update` gets, so that the first steps move all
      components alike. 10 K_i points by default.

  Raises:
    ValueError: D_i or K_i below one, arrays that do not fit `factors`, or N
      not positive. A traced N is not looked at.
  """
  factors = tuple((int(d), int(k)) for d, k in factors)
  for i, (d, k) in enumerate(factors):
    if d < 1 or k < 1:
      raise ValueError(
        f"factors[{i}] must be (D, K) with D and K at least 1, got {(d, k)}"
      )
  if not factors:
    raise ValueError("factors must name at least one (D, K), got none")
  if num_data is not None:
    check_num_data(num_data)
  latent = sum(d for d, _ in factors)
  if (loc is None) != (log_var is None):
    raise ValueError("loc and log_var must be given together")
  if loc is not None and log_var is not None:
    loc, log_var = as_encodings(latent, loc, log_var)
    largest = max(k for _, k in factors)
    if loc.ndim != 2 or loc.shape[0] < largest:
      raise ValueError(
        f"loc must be [N, {latent}] with N >= K = {largest}, got {loc.shape}"
      )
  offset, out = 0, []
  for (d, k), subkey in zip(
    factors, jax.random.split(key, len(factors)), strict=True
  ):
    if loc is None or log_var is None:
      m = 0.1 * jax.random.normal(subkey, (k, d))
      variance = jnp.ones_like(m)
    else:
      x = loc[:, offset : offset + d]
      within = jnp.mean(jnp.exp(log_var[:, offset : offset + d]), 0)
      pooled = jnp.var(x, 0) + within
      chosen = jax.random.choice(subkey, x.shape[0], (k,), replace=False)
      m = _lloyd(x, x[chosen], 1 / pooled)
      variance = jnp.broadcast_to(pooled, m.shape)
    points = _DEFAULT_POINTS if num_data is None else num_data / k
    h = hyperprior
    out.append(
      MeanParams(
        m=m,
        s=jnp.full_like(m, h.s0 + points),
        a=jnp.full_like(m, h.a0 + 0.5 * points),
        b=(h.b0 + 0.5 * points * variance).astype(m.dtype),
        c=jnp.full_like(m[:, 0], h.c0 + points),
      )
    )
    offset += d
  return PriorState(factors=tuple(out), hyperprior=hyperprior)


def _lloyd(x: Array, means: Array, precision: Array) -> Array:
  """Ten k-means iterations on `[N, D]` from `[K, D]`, distances in `precision`.

  A centre that loses all its points stays where it is.
  """
  origin, scale = jnp.mean(x, 0, keepdims=True), jnp.sqrt(precision)[None]
  x = (x - origin) * scale

  def iterate(_, centres):
    distances = jnp.sum(centres**2, -1)[None] - 2 * matmul(x, centres.T)
    nearest = jnp.argmin(distances, -1)
    count = jnp.zeros(len(centres), x.dtype).at[nearest].add(1)[:, None]
    sums = jnp.zeros_like(centres).at[nearest].add(x)
    return jnp.where(count > 0, sums / jnp.maximum(count, 1), centres)

  centres = (means - origin) * scale
  centres = lax.fori_loop(0, _LLOYD_ITERATIONS, iterate, centres)
  return origin + centres / scale


def matmul(x: Array, y: Array) -> Array:
  """`[..., n] [n, m] -> [..., m]` in full float32, where TF32 loses digits."""
  axes = ((x.ndim - 1,), (0,)), ((), ())
  return lax.dot_general(x, y, axes, precision=lax.Precision.HIGHEST)


def align(x: Array, like: Array) -> Array:
  """`x` with leading axes of length one, as many axes in all as `like` has."""
  return lax.expand_dims(x, range(like.ndim - x.ndim))


def mean_params(state: PriorState) -> tuple[MeanParams, ...]:
  """Mean parameters (m, s, a, b, c) of every factor."""
  return state.factors


def from_mean_params(
  params: Sequence[MeanParams],
  hyperprior: Hyperprior = Hyperprior(),
) -> PriorState:
  """The state with the given mean parameters, the inverse of `mean_params`.

  Raises:
    ValueError: m, s, a and b not all `[K, D]` or c not `[K]`.
  """
  for i, p in enumerate(params):
    shapes = {name: jnp.shape(getattr(p, name)) for name in "msabc"}
    shape = shapes["m"]
    wanted = {**dict.fromkeys("msab", shape), "c": shape[:-1]}
    if len(shape) < 2 or shapes != wanted:
      raise ValueError(
        f"params[{i}] must hold m, s, a, b [K, D] and c [K], got {shapes}"
      )
  return PriorState(factors=tuple(params), hyperprior=hyperprior)


def kl_global(state: PriorState) -> Array:
  """KL_NG + KL_Dir per factor, lines 4d and 4e before the 1/N, `[I]` nats."""
  h = state.hyperprior
  costs = []
  for f in state.factors:
    base = NormalGamma(
      *(jnp.full_like(f.m, v) for v in (h.m0, h.s0, h.a0, h.b0))
    )
    normal_gammas = jnp.sum(normal_gamma.kl(f.normal_gamma, base))
    costs.append(normal_gammas + dirichlet.kl_to_symmetric(f.c, h.c0))
  return jnp.stack(costs)


def usage(state: PriorState) -> tuple[Usage, ...]:
  """Expected share of each component and which are pruned (App. F), per factor.

  A component is pruned when its count exceeds the hyperprior's by less than
  one data point (App. F: "pseudo-counts very close to that of the prior").
  """
  return tuple(
    Usage(
      share=f.c / jnp.sum(f.c, -1, keepdims=True),
      pruned=f.c - state.hyperprior.c0 < 1,
    )
    for f in state.factors
  )


def split(state: PriorState, x: Array) -> tuple[Array, ...]:
  """Cuts `[..., L]` into the factors' `[..., D_i]`."""
  out, offset = [], 0
  for d in state.dims:
    out.append(x[..., offset : offset + d])
    offset += d
  return tuple(out)
