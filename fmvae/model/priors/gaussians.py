"""What the priors share that are mixtures of Gaussians with a point estimate.

The component is summed out: KL(q(z|x) || p(z)) is log q(z|x) - log p(z) at the
step's draw of z, the whole of it KL[z]; KL[r] is 0. A mixture's KL has no
closed form. VaDE bounds it by one, with q(r|x) = p(r|z) at a draw; the draw
itself is the tighter bound, and what VampPrior and its mixtures are trained by.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from fmvae.model.priors.record import Costs, Encoding
from fmvae.prior.arrays import align, matmul
from fmvae.prior.stirling import LOG_2PI


class Gaussians(NamedTuple):
  """The components of a factor, with diagonal covariances."""

  loc: Array  # [K, D]
  log_var: Array  # [K, D]
  log_weight: Array  # [K]


def cut(sizes: Sequence[int], x: Array) -> list[Array]:
  """Cuts `[..., L]` into the factors' `[..., D_i]`."""
  ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
  return [x[..., end - d : end] for d, end in zip(sizes, ends, strict=True)]


def log_joint(g: Gaussians, z: Array) -> Array:
  """log p(k) p(z|k), `[..., K]` for z `[..., D]`, by matrix products.

  The origin is moved to the mean of the components first.
  """
  origin = lax.stop_gradient(jnp.mean(g.loc, 0, keepdims=True))
  x, m = z - align(origin[0], z), g.loc - origin
  precision = jnp.exp(-g.log_var)
  quad = matmul(x**2, precision.T) - 2 * matmul(x, (precision * m).T)
  constant = g.log_weight - 0.5 * jnp.sum(
    precision * m**2 + g.log_var + LOG_2PI, -1
  )
  return align(constant, quad) - 0.5 * quad


def log_density(gaussians: Sequence[Gaussians], z: Array) -> Array:
  """log p(z_i) of each factor, `[..., I]`."""
  parts = cut([g.loc.shape[-1] for g in gaussians], z)
  each = [
    jax.nn.logsumexp(log_joint(g, x), -1)
    for g, x in zip(gaussians, parts, strict=True)
  ]
  return jnp.stack(each, -1)


def costs(gaussians: Sequence[Gaussians], encoding: Encoding) -> Costs:
  """The KL at the draw of z, and p(r|z) as the responsibilities."""
  loc, log_var, variance, z = encoding
  log_q = -0.5 * ((z - loc) ** 2 / variance + log_var + LOG_2PI)
  sizes = [g.loc.shape[-1] for g in gaussians]
  kl, resp = [], []
  for g, x, q in zip(gaussians, cut(sizes, z), cut(sizes, log_q), strict=True):
    joint = log_joint(g, x)
    kl.append(jnp.sum(q, -1) - jax.nn.logsumexp(joint, -1))
    resp.append(lax.stop_gradient(jax.nn.softmax(joint)))
  kl_z = jnp.stack(kl, -1)
  zero = jnp.zeros_like(kl_z)
  return Costs(kl_z=kl_z, kl_r=zero, label_log_prob=zero, resp=tuple(resp))


def sample(
  gaussians: Sequence[Gaussians],
  key: Array,
  shape: tuple[int, ...],
  components: Array | None,
) -> tuple[Array, Array]:
  """z `[*shape, L]` and its components, int `[*shape, I]`; -1 is drawn."""
  k_key, z_key = jax.random.split(key)
  ks = [
    jax.random.categorical(
      jax.random.fold_in(k_key, i), g.log_weight, -1, shape
    )
    for i, g in enumerate(gaussians)
  ]
  drawn = jnp.stack(ks, -1).astype(jnp.int32)
  if components is not None:
    given = jnp.broadcast_to(components, drawn.shape).astype(jnp.int32)
    drawn = jnp.where(given >= 0, given, drawn)
  parts = list(enumerate(gaussians))
  loc = jnp.concatenate([g.loc[drawn[..., i]] for i, g in parts], -1)
  log_var = jnp.concatenate([g.log_var[drawn[..., i]] for i, g in parts], -1)
  noise = jax.random.normal(z_key, loc.shape)
  return loc + jnp.exp(0.5 * log_var) * noise, drawn
