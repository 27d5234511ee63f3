"""The prior's state: q(mu, alpha) and q(pi) of every factor (Sec. 2.3)."""

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fmvae.prior import dirichlet, normal_gamma
from fmvae.prior.checks import as_encodings, as_factors, check_num_data
from fmvae.prior.kmeans import lloyd
from fmvae.prior.normal_gamma import NaturalParams, NormalGamma

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


class Units(NamedTuple):
  """Of the features: p(xi) is stated for (z - loc) / scale."""

  loc: Array  # [L]
  scale: Array  # [L], positive


class FactorHyperprior(NamedTuple):
  """The hyperprior of one factor in the units of z."""

  m0: Array | float  # [1, D], or one number for all dimensions
  s0: float
  a0: float
  b0: Array | float  # [1, D], or one number for all dimensions
  c0: float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
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

  def __eq__(self, other) -> bool:
    return _equal(self, other)

  def __repr__(self) -> str:
    return f"<MeanParams of (D, K) = {_size(self)}>"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PriorState:
  """The posterior over all prior parameters xi, an immutable pytree.

  Its leaves are mean parameters. They stand one to one for the natural
  parameters lambda (App. B), which `factors[i].natural` computes, and keep the
  digits that lambda2 loses in float32; see `fmvae.prior.normal_gamma`.

  With `units`, as `fit` chooses them, the hyperprior is that of standardised
  features, and everything else in the units of z. That is exact: if z has the
  component N(mu, 1 / alpha), then loc + scale z has one whose Normal-Gamma is
  (loc + scale m, s, a, scale^2 b), which takes p(xi) and q(xi) alike. They are
  leaves, if there are any, so that one compilation serves every fit.

  Two states are equal where all their values are. Flax serialises a state,
  without the hyperprior, which `from_bytes` takes from its target.
  """

  factors: tuple[MeanParams, ...]
  hyperprior: Hyperprior  # static
  units: Units | None = None

  def __post_init__(self):
    _register_with_flax()

  @property
  def dims(self) -> tuple[int, ...]:
    """D_i of every factor."""
    return tuple(f.m.shape[-1] for f in self.factors)

  @property
  def components(self) -> tuple[int, ...]:
    """K_i of every factor."""
    return tuple(f.m.shape[-2] for f in self.factors)

  @property
  def factor_hyperpriors(self) -> tuple[FactorHyperprior, ...]:
    """p(xi) of every factor in the units of z."""
    h = FactorHyperprior(*dataclasses.astuple(self.hyperprior))
    if self.units is None:
      return (h,) * len(self.factors)
    locs, scales = (split(self, x[None]) for x in self.units)
    return tuple(
      h._replace(m0=loc + scale * h.m0, b0=scale**2 * h.b0)
      for loc, scale in zip(locs, scales, strict=True)
    )

  def __eq__(self, other) -> bool:
    return _equal(self, other)

  def __repr__(self) -> str:
    sizes = ", ".join(str(_size(f)) for f in self.factors)
    return f"<PriorState of (D, K) = {sizes}>"


def _size(f: MeanParams) -> tuple[int, ...]:
  """(D, K); empty where a transformation of JAX has left no array."""
  return tuple(getattr(f.m, "shape", ())[:-3:-1])


def _equal(one: Any, other: Any) -> bool:
  """Whether two pytrees have one structure and the same values."""
  structures: list[Any] = [jax.tree.structure(x) for x in (one, other)]
  same = structures[0] == structures[1]
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return same and all(np.array_equal(x, y) for x, y in pairs)


def _flatten(state: PriorState):
  """Without units a state has no node for them, which a checkpoint would."""
  names = ("factors",) if state.units is None else ("factors", "units")
  key = jax.tree_util.GetAttrKey
  children = tuple((key(name), getattr(state, name)) for name in names)
  return children, state.hyperprior


def _unflatten(hyperprior: Hyperprior, children) -> PriorState:
  factors, *units = children
  return PriorState(factors, hyperprior, *units)


jax.tree_util.register_pytree_with_keys(PriorState, _flatten, _unflatten)


def _register_with_flax() -> None:
  """Tells Flax how to serialise a state, once it has been imported."""
  flax = sys.modules.get("flax.serialization")
  if flax is None or flax.is_serializable(PriorState):
    return

  def as_dict(x, names):
    return {name: flax.to_state_dict(getattr(x, name)) for name in names}

  def restore(target, saved):
    units = saved["units"] and Units(**saved["units"])
    factors = flax.from_state_dict(target.factors, saved["factors"])
    return PriorState(factors, target.hyperprior, units)

  flax.register_serialization_state(
    PriorState, lambda x: as_dict(x, ("factors", "units")), restore
  )
  flax.register_serialization_state(
    MeanParams, lambda x: as_dict(x, "msabc"), lambda _, x: MeanParams(**x)
  )


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

  With `loc` and `log_var`, encodings of training points, or `loc` alone for
  points that are known exactly, the components start
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
  factors = as_factors(factors)
  if num_data is not None:
    check_num_data(num_data)
  latent = sum(d for d, _ in factors)
  if loc is None and log_var is not None:
    raise ValueError("log_var must come with loc, got log_var alone")
  encodings = None if loc is None else as_encodings(latent, loc, log_var)
  if encodings is not None:
    loc, log_var = encodings
    largest = max(k for _, k in factors)
    if loc.ndim != 2 or loc.shape[0] < largest:
      raise ValueError(
        f"loc must be [N, {latent}] with N >= K = {largest}, got {loc.shape}"
      )
  offset, out = 0, []
  for (d, k), subkey in zip(
    factors, jax.random.split(key, len(factors)), strict=True
  ):
    if encodings is None:
      m = 0.1 * jax.random.normal(subkey, (k, d))
      variance = jnp.ones_like(m)
    else:
      x, log_variance = (e[:, offset : offset + d] for e in encodings)
      within = jnp.mean(jnp.exp(log_variance), 0)
      pooled = jnp.var(x, 0) + within
      chosen = jax.random.choice(subkey, x.shape[0], (k,), replace=False)
      m = lloyd(x, x[chosen], 1 / pooled)
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


def mean_params(state: PriorState) -> tuple[MeanParams, ...]:
  """Mean parameters (m, s, a, b, c) of every factor."""
  return state.factors


def from_mean_params(
  params: Sequence[MeanParams],
  hyperprior: Hyperprior = Hyperprior(),
  units: Units | None = None,
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
  return PriorState(tuple(params), hyperprior, units)


def kl_global(state: PriorState) -> Array:
  """KL_NG + KL_Dir per factor, lines 4d and 4e before the 1/N, `[I]` nats.

  All factors in one call each: what gamma functions cost is their compilation.
  """
  factors, components = state.factors, state.components
  hyperpriors, h = state.factor_hyperpriors, state.hyperprior

  def elements(values: Iterable[Array | float]) -> Array:
    """One value of each factor, for each k and d of all factors."""
    return jnp.concatenate(
      [
        jnp.broadcast_to(x, f.m.shape).ravel()
        for x, f in zip(values, factors, strict=True)
      ]
    )

  q = NormalGamma(*(elements(getattr(f, x) for f in factors) for x in "msab"))
  m0, b0 = (elements(getattr(p, x) for p in hyperpriors) for x in ("m0", "b0"))
  each = normal_gamma.kl(q, m0, h.s0, h.a0, b0)
  ends = np.cumsum([f.m.size for f in factors])
  normal_gammas = [jnp.sum(x) for x in jnp.split(each, ends[:-1])]
  counts = jnp.stack(
    [
      jnp.pad(f.c, (0, max(components) - k), constant_values=h.c0)
      for f, k in zip(factors, components, strict=True)
    ]
  )
  dirichlets = dirichlet.kl_to_symmetric(counts, h.c0, np.array(components))
  return jnp.stack(normal_gammas) + dirichlets


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
