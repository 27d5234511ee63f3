"""Sampling and the predictive density under q(xi) (Sec. 2.6-2.7).

With mu and alpha integrated out, z_d given component k is a Student-t (eq.
10) with 2a degrees of freedom, location m and squared scale
(s + 1) b / (s a). A component that the data abandoned has a near 0.01: half
of its draws would overflow float32. `sample` bounds them, `usage` marks them.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.prior.normal_gamma import lgamma_half_step
from fmvae.prior.state import MeanParams, PriorState, check_indices, split

_LOG_PI = 1.1447298858494002
_MAX_LOG_SCALE = 40.0  # e^40 squared and summed over 64 dimensions is finite
_FAR = 1e8  # from here on log(1 + u^2) = 2 log u to float64 precision


def _log_squared_scale(f: MeanParams) -> Array:
  """Log of (s + 1) b / s, which is alpha times the variance of z given it."""
  return jnp.log(f.b) + jnp.log1p(1 / f.s)


def sample(
  key: Array,
  state: PriorState,
  shape: tuple[int, ...] = (),
  components: Array | None = None,
) -> tuple[Array, Array]:
  """Draws z from p_Q(z), eq. 10, or from chosen components.

  pi ~ Dir(c), k ~ Cat(pi) is drawn as k ~ Cat(c / sum c), which is its exact
  marginal. The spread of a draw is bounded by e^40, so that pruned components
  stay finite; no component that holds data comes near.

  Args:
    key: a PRNG key.
    state: the prior.
    shape: of the draw.
    components: int, broadcastable to `[*shape, I]`; -1 draws that factor's
      component.

  Returns:
    z `[*shape, L]` and the components, int32 `[*shape, I]`.

  Raises:
    ValueError: `components` not integers or of the wrong shape.
  """
  shape = tuple(shape)
  num_factors = len(state.factors)
  if components is not None:
    components = jnp.asarray(components)
    check_indices("components", components, num_factors, None)
    try:
      components = jnp.broadcast_to(components, (*shape, num_factors))
    except ValueError:
      raise ValueError(
        f"components must broadcast to {(*shape, num_factors)}, got "
        f"{components.shape}"
      ) from None
  zs, ks = [], []
  for i, f in enumerate(state.factors):
    k_key, alpha_key, z_key = jax.random.split(jax.random.fold_in(key, i), 3)
    k = jax.random.categorical(k_key, jnp.log(f.c), shape=shape)
    if components is not None:
      k = jnp.where(components[..., i] >= 0, components[..., i], k)
    log_alpha = jax.random.loggamma(alpha_key, f.a[k], dtype=f.a.dtype)
    log_scale = 0.5 * (_log_squared_scale(f)[k] - log_alpha)
    noise = jax.random.normal(z_key, log_scale.shape, log_scale.dtype)
    scale = jnp.exp(jnp.minimum(log_scale, _MAX_LOG_SCALE))
    zs.append(f.m[k] + scale * noise)
    ks.append(k.astype(jnp.int32))
  return jnp.concatenate(zs, -1), jnp.stack(ks, -1)


def _factor_log_prob(f: MeanParams, z: Array) -> Array:
  """log sum_k (c_k / sum c) prod_d StudentT, `[B]` for z `[B, D]`.

  The dimensions are taken one after the other, which needs `[B, K]` alone.
  """
  log_scale = 0.5 * (jnp.log(2.0) + _log_squared_scale(f))
  constants = jnp.sum(
    lgamma_half_step(f.a) - 0.5 * _LOG_PI - log_scale, -1
  ) + jnp.log(f.c / jnp.sum(f.c))

  @jax.checkpoint
  def add_dimension(total, columns):
    z_d, m, inverse_scale, a = columns
    u = jnp.abs(z_d[:, None] - m) * inverse_scale
    log1p_u2 = jnp.log1p(jnp.minimum(u, _FAR) ** 2) + 2 * jnp.log(
      jnp.maximum(u / _FAR, 1)
    )
    return total - (a + 0.5) * log1p_u2, None

  total = jnp.broadcast_to(constants, (z.shape[0], *constants.shape))
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
