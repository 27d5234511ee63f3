"""Responsibilities and the local costs (eq. 5, 6, 11; App. C.2, C.3).

The expectation of eq. 6 needs, for every point and component,

  quad_k = sum_d (a/b)_kd ((mu_phi,d - m_kd)^2 + sigma2_d).

It is multiplied out into matrix products, so that no array of size
points x K x D exists, with the origin moved to the mixture's mean first: the
products then cancel only in so far as components lie far from each other,
not far from zero: a logit is off by about 1e-7 times the squared distance from
the mixture's mean in standard deviations. Where a value in nats is reported
(`kl_z`), the component with the largest weight is taken by direct differences
instead, and the matrix products serve the others relative to it.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior import dirichlet
from fmvae.prior.arrays import align, matmul
from fmvae.prior.checks import as_encodings, as_labels
from fmvae.prior.normal_gamma import expected_log_alpha
from fmvae.prior.state import MeanParams, PriorState, split
from fmvae.prior.stirling import LOG_2PI


def centre(f: MeanParams) -> Array:
  """The mixture's mean `[1, D]`, an origin for sums, without a gradient."""
  mean = jnp.sum(f.c[:, None] * f.m, 0, keepdims=True) / jnp.sum(f.c)
  return lax.stop_gradient(mean)


def _log_normalisers(f: MeanParams) -> Array:
  """1/2 sum_d (psi(a) - log b - 1/s), the part of eq. 6 without z, `[K]`."""
  return 0.5 * jnp.sum(expected_log_alpha(f.a, f.b) - 1 / f.s, -1)


def _expected_log_normals(f: MeanParams, loc: Array, variance: Array) -> Array:
  """Eq. 6 without its -D/2 log 2 pi, `[..., K]`."""
  precision = f.a / f.b
  origin = centre(f)
  x, m = loc - align(origin[0], loc), f.m - origin
  products = matmul(x**2 + variance, precision.T) - 2 * matmul(
    x, (precision * m).T
  )
  quad = products + align(jnp.sum(precision * m**2, -1), products)
  return align(_log_normalisers(f), quad) - 0.5 * quad


def _factor_logits(f: MeanParams, loc: Array, log_var: Array) -> Array:
  """Log of eq. 5 before normalising for one factor, `[..., K]`."""
  expected = _expected_log_normals(f, loc, jnp.exp(log_var))
  constant = 0.5 * LOG_2PI * loc.shape[-1]
  log_pi = dirichlet.expected_log_weights(f.c)
  return expected - constant + align(log_pi, expected)


def component_logits(
  state: PriorState, loc: Array, log_var: Array | None = None
) -> tuple[Array, ...]:
  """Log of eq. 5 before normalising, by eq. 6, for every factor.

  Args:
    state: the prior.
    loc: encoder means `[..., L]`.
    log_var: encoder log variances `[..., L]`, None where `loc` is exact.

  Returns:
    `[..., K_i]` for each factor i.

  Raises:
    ValueError: `loc` or `log_var` not `[..., L]`.
  """
  loc, log_var = as_encodings(sum(state.dims), loc, log_var)
  parts = zip(
    state.factors, split(state, loc), split(state, log_var), strict=True
  )
  return tuple(_factor_logits(f, mu, lv) for f, mu, lv in parts)


def responsibilities(
  state: PriorState,
  loc: Array,
  log_var: Array | None = None,
  labels: Array | None = None,
) -> tuple[Array, ...]:
  """The optimal q(r_i) in closed form, eq. 5, clamped where labelled.

  Args:
    state: the prior.
    loc: encoder means `[..., L]`.
    log_var: encoder log variances `[..., L]`, None where `loc` is exact.
    labels: int `[..., I]`, a component below K_i or -1 where missing. A known
      label makes gamma one-hot (Sec. 2.5). A traced one outside that range
      counts as missing.

  Returns:
    gamma_i `[..., K_i]` for each factor i, summing to one.

  Raises:
    ValueError: an argument of the wrong shape or type, or a label that is
      known to be out of range.
  """
  gammas = tuple(
    jax.nn.softmax(logits) for logits in component_logits(state, loc, log_var)
  )
  if labels is None:
    return gammas
  labels = as_labels(labels, state.components, loc.shape[:-1])
  return tuple(
    jnp.where(
      labels[..., i, None] >= 0,
      jax.nn.one_hot(labels[..., i], gamma.shape[-1], dtype=gamma.dtype),
      gamma,
    )
    for i, gamma in enumerate(gammas)
  )


def _factor_kl_z(
  f: MeanParams, loc: Array, log_var: Array, gamma: Array, exact: bool
) -> Array:
  variance = jnp.exp(log_var)
  top = jnp.argmax(gamma, -1)
  deviation = loc - f.m[top]
  best = _log_normalisers(f)[top] - 0.5 * jnp.sum(
    (f.a / f.b)[top] * (deviation**2 + variance), -1
  )
  each = _expected_log_normals(f, loc, variance)
  others = each - jnp.take_along_axis(each, top[..., None], -1)
  expected = best + jnp.sum(gamma * others, -1)
  if exact:
    return 0.5 * LOG_2PI * loc.shape[-1] - expected
  return -0.5 * jnp.sum(log_var + 1, -1) - expected


def kl_z(
  state: PriorState,
  loc: Array,
  log_var: Array | None,
  resp: tuple[Array, ...],
) -> Array:
  """KL[z_i] of line 4b, expected under q(r) and q(mu, alpha) (App. C.2).

  Points that are known exactly are infinitely far from any density. Without
  `log_var` the entropy of q(z|x) is therefore left out: what remains is the
  expected -log p(z_i | r_i), and -sum_i (KL[z_i] + KL[r_i]) bounds log p(z).

  Args:
    state: the prior.
    loc: encoder means `[..., L]`.
    log_var: encoder log variances `[..., L]`, None where `loc` is exact.
    resp: gamma_i `[..., K_i]` for each factor, as `responsibilities` gives.

  Returns:
    `[..., I]` in nats.

  Raises:
    ValueError: an argument of the wrong shape.
  """
  exact = log_var is None
  loc, log_var = as_encodings(sum(state.dims), loc, log_var)
  _check_resp(state, resp)
  parts = zip(
    state.factors, split(state, loc), split(state, log_var), resp, strict=True
  )
  return jnp.stack([_factor_kl_z(*part, exact) for part in parts], -1)


def kl_r(state: PriorState, resp: tuple[Array, ...]) -> Array:
  """KL[r_i] of line 4c, expected under q(pi) (App. C.3).

  A weight of zero costs nothing and has a gradient of zero there.

  Args:
    state: the prior.
    resp: gamma_i `[..., K_i]` for each factor.

  Returns:
    `[..., I]` in nats.

  Raises:
    ValueError: `resp` does not fit the factors.
  """
  _check_resp(state, resp)
  costs = []
  for f, gamma in zip(state.factors, resp, strict=True):
    log_gamma = jnp.log(jnp.where(gamma > 0, gamma, 1))
    weights = align(dirichlet.expected_log_weights(f.c), gamma)
    costs.append(
      jnp.sum(jnp.where(gamma > 0, gamma * (log_gamma - weights), 0), -1)
    )
  return jnp.stack(costs, -1)


def codes(state: PriorState, loc: Array, log_var: Array | None = None) -> Array:
  """The product-quantisation code (k_1, .., k_I) of each point (Sec. 2.1).

  Returns:
    int `[..., I]`, the most responsible component of each factor.
  """
  logits = component_logits(state, loc, log_var)
  return jnp.stack([jnp.argmax(x, -1) for x in logits], -1)


def label_log_prob(
  state: PriorState, loc: Array, log_var: Array | None, labels: Array
) -> Array:
  """log g_i at the label, the cross entropy of eq. 8 (Sec. 2.5).

  g is the softmax of eq. 5, never clamped.

  Args:
    state: the prior.
    loc: encoder means `[..., L]`.
    log_var: encoder log variances `[..., L]`, None where `loc` is exact.
    labels: int `[..., I]`, a component below K_i or -1 where missing. A traced
      one outside that range counts as missing.

  Returns:
    `[..., I]` in nats, 0 where the label is missing.

  Raises:
    ValueError: an argument of the wrong shape or type, or a label that is
      known to be out of range.
  """
  logits = component_logits(state, loc, log_var)
  labels = as_labels(labels, state.components, loc.shape[:-1])
  out = []
  for i, x in enumerate(logits):
    label = labels[..., i]
    log_g = jnp.take_along_axis(
      jax.nn.log_softmax(x), jnp.maximum(label, 0)[..., None], -1
    )[..., 0]
    out.append(jnp.where(label >= 0, log_g, 0))
  return jnp.stack(out, -1)


def _check_resp(state: PriorState, resp: tuple[Array, ...]) -> None:
  received = tuple(gamma.shape[-1] for gamma in resp)
  if received != state.components:
    raise ValueError(
      f"resp must hold [..., K] for K = {state.components}, got {received}"
    )
