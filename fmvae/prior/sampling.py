"""Sampling and the predictive density under q(xi) (Sec. 2.6-2.7).

With mu and alpha integrated out, z_d given component k is a Student-t (eq.
10) with 2a degrees of freedom, location m and squared scale
(s + 1) b / (s a). A component that the data abandoned has a near 0.01: half
of its draws would overflow float32. `sample` bounds them, `usage` marks them.
"""

import operator
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from fmvae.prior import stirling
from fmvae.prior.checks import as_index
from fmvae.prior.state import MeanParams, PriorState, split

_LOG_PI = 1.1447298858494002
_MAX_LOG_SCALE = 40.0  # e^40 squared and summed over 64 dimensions is finite
_FAR = 1e8  # from here on log(1 + u^2) = 2 log u to float64 precision


def _log_squared_scale(f: MeanParams) -> Array:
  """Log of (s + 1) b / s, which is alpha times the variance of z given it."""
  return jnp.log(f.b) + jnp.log1p(1 / f.s)


def sample(
  key: Array,
  state: PriorState,
  shape: int | tuple[int, ...] = (),
  components: Array | None = None,
) -> tuple[Array, Array]:
  """Draws z from p_Q(z), eq. 10, or from chosen components.

  pi ~ Dir(c), k ~ Cat(pi) is drawn as k ~ Cat(c / sum c), which is its exact
  marginal. The spread of a draw is bounded by e^40, so that pruned components
  stay finite; no component that holds data comes near.

  Args:
    key: a PRNG key.
    state: the prior.
    shape: of the draw, or the number of draws.
    components: int, broadcastable to `[*shape, I]`: a component below K_i, or
      -1 to draw that factor's. A traced one outside that range is drawn too.

  Returns:
    z `[*shape, L]` and the components, int32 `[*shape, I]`.

  Raises:
    ValueError: `components` not integers, of the wrong shape, or known to be
      out of range.
  """
  shape = (
    tuple(shape) if isinstance(shape, Iterable) else (operator.index(shape),)
  )
  k_key, alpha_key, z_key = jax.random.split(key, 3)
  ks = [
    jax.random.categorical(
      jax.random.fold_in(k_key, i), jnp.log(f.c), -1, shape
    )
    for i, f in enumerate(state.factors)
  ]
  drawn = jnp.stack(ks, -1).astype(jnp.int32)
  if components is not None:
    drawn = _override(drawn, components, state.components)

  def gather(values: Callable[[MeanParams], Array]) -> Array:
    """`[K_i, D_i]` of each factor at its component, side by side."""
    parts = enumerate(state.factors)
    return jnp.concatenate([values(f)[drawn[..., i]] for i, f in parts], -1)

  log_alpha = jax.random.loggamma(alpha_key, gather(lambda f: f.a))
  log_scale = 0.5 * (gather(_log_squared_scale) - log_alpha)
  noise = jax.random.normal(z_key, log_scale.shape, log_scale.dtype)
  scale = jnp.exp(jnp.minimum(log_scale, _MAX_LOG_SCALE))
  return gather(lambda f: f.m) + scale * noise, drawn


def _override(
  drawn: Array, components: ArrayLike, sizes: tuple[int, ...]
) -> Array:
  """`components` where they name one, else what was drawn."""
  given = jnp.asarray(components)
  if not jnp.issubdtype(given.dtype, jnp.integer):
    raise ValueError(f"components must be integers, got {given.dtype}")
  try:
    jnp.broadcast_to(given, drawn.shape)
  except ValueError:
    raise ValueError(
      f"components must broadcast to {drawn.shape}, got {given.shape}"
    ) from None
  given = as_index("components", components, sizes)
  return jnp.where(given >= 0, given, drawn).astype(drawn.dtype)


def _log1p(x: Array) -> Array:
  """log(1 + x) for x >= 0, with what 1 + x has lost to rounding put back.

  As exact as `jnp.log1p`, and on a CPU several times as fast.
  """
  y = 1 + x
  return jnp.log(y) + (x - (y - 1)) / y


def _factor_log_prob(f: MeanParams, z: Array) -> Array:
  """log sum_k (c_k / sum c) prod_d StudentT, `[B]` for z `[B, D]`.

  The dimensions are taken one after the other, which needs `[B, K]` alone.
  """
  log_scale = 0.5 * (jnp.log(2.0) + _log_squared_scale(f))
  constants = jnp.sum(
    stirling.half_step(f.a) - 0.5 * _LOG_PI - log_scale, -1
  ) + jnp.log(f.c / jnp.sum(f.c))

  @jax.checkpoint
  def add_dimension(total, columns):
    z_d, m, inverse_scale, a = columns
    u = jnp.abs(z_d[:, None] - m[None]) * inverse_scale[None]
    log1p_u2 = _log1p(jnp.minimum(u, _FAR) ** 2) + 2 * jnp.log(
      jnp.maximum(u / _FAR, 1)
    )
    return total - (a + 0.5)[None] * log1p_u2, None

  total = jnp.broadcast_to(constants, (z.shape[0], *constants.shape))
  total = total.astype(jnp.result_type(total, z))  # the sum's from the start
  columns = (z.T, f.m.T, jnp.exp(-log_scale).T, f.a.T)
  return jax.nn.logsumexp(lax.scan(add_dimension, total, columns)[0], -1)


def log_prob(state: PriorState, z: Array) -> Array:
  """log p_Q(z), the exact marginal density of z under q(xi) (Sec. 2.6-2.7).

  Args:
    state: the prior.
    z: `[..., L]`.

  Returns:
    `[...]` in nats.

  Raises:
    ValueError: `z` not `[..., L]`.
  """
  latent = sum(state.dims)
  if not z.shape or z.shape[-1] != latent:
    raise ValueError(f"z must be [..., {latent}], got {z.shape}")
  flat = z.reshape(-1, latent)
  parts = zip(state.factors, split(state, flat), strict=True)
  total = jnp.stack([_factor_log_prob(f, x) for f, x in parts]).sum(0)
  return total.reshape(z.shape[:-1])
