"""The evidence lower bound and its labels, term by term (eq. 4, 8, 11).

Every function works on any number of leading axes and returns costs in nats
per data point. Training code lives elsewhere.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from fmvae import prior
from fmvae.likelihoods import Likelihood
from fmvae.networks import VAE


class Model(NamedTuple):
  """p(x|z) and q(z|x); pure functions, parameters are passed in."""

  vae: VAE
  likelihood: Likelihood


class Terms(NamedTuple):
  """The local terms of eq. 4 and 8, for each data point.

  Under an N(0, I) prior the factor axis has length one and all but `kl_z` are
  zero there.
  """

  reconstruction: Array  # [...] E[log p(x|z)], line 4a, one sample of z
  kl_z: Array  # [..., I] line 4b
  kl_r: Array  # [..., I] line 4c
  label_log_prob: Array  # [..., I] log g_iy of eq. 8, 0 where unlabelled

  @property
  def bound(self) -> Array:
    """Eq. 11, the predictive lower bound in nats, `[...]`."""
    return self.reconstruction - jnp.sum(self.kl_z + self.kl_r, -1)

  def objective(self, kl_z_weight: Array, delta: Array) -> Array:
    """Local part of F, eq. 8, with KL[z] up-weighted (Sec. 4.2), `[...]`."""
    costs = kl_z_weight * self.kl_z + self.kl_r - delta * self.label_log_prob
    return self.reconstruction - jnp.sum(costs, -1)


def mixture_terms(
  model: Model,
  params: Mapping[str, Any],
  state: prior.PriorState,
  x: Array,
  noise: Array,
  labels: Array | None = None,
) -> tuple[Terms, tuple[Array, ...]]:
  """Local terms under the factorial mixture prior (lines 4a-4c, eq. 8, 11).

  The responsibilities are at their optimum, eq. 5, and held fixed: no gradient
  flows through them (steps 1 and 2 of Sec. 2.4).

  Args:
    model: the networks and the likelihood.
    params: their parameters.
    state: the prior.
    x: float images `[..., H, W, C]`.
    noise: standard normal `[..., L]`, for the reparameterised z.
    labels: int `[..., I]`, -1 where missing; None where there are none at all.

  Returns:
    The terms and the responsibilities, gamma_i `[..., K_i]` for each factor.
  """
  loc, log_var = model.vae.encode(params, x)
  resp = jax.lax.stop_gradient(
    prior.responsibilities(state, loc, log_var, labels)
  )
  terms = Terms(
    reconstruction=_reconstruction(model, params, loc, log_var, x, noise),
    kl_z=prior.kl_z(state, loc, log_var, resp),
    kl_r=prior.kl_r(state, resp),
    label_log_prob=jnp.zeros((*loc.shape[:-1], len(resp)))
    if labels is None
    else prior.label_log_prob(state, loc, log_var, labels),
  )
  return terms, resp


def standard_normal_terms(
  model: Model, params: Mapping[str, Any], x: Array, noise: Array
) -> Terms:
  """Local terms under N(z; 0, I), the objective of pre-training (Sec. 2.4).

  Args and shapes as in `mixture_terms`, the factor axis of length one.
  """
  loc, log_var = model.vae.encode(params, x)
  kl = 0.5 * jnp.sum(loc**2 + jnp.exp(log_var) - 1 - log_var, -1, keepdims=True)
  return Terms(
    reconstruction=_reconstruction(model, params, loc, log_var, x, noise),
    kl_z=kl,
    kl_r=jnp.zeros_like(kl),
    label_log_prob=jnp.zeros_like(kl),
  )


def _reconstruction(
  model: Model,
  params: Mapping[str, Any],
  loc: Array,
  log_var: Array,
  x: Array,
  noise: Array,
) -> Array:
  """log p(x|z) at z = mu_phi + sigma_phi noise, line 4a."""
  z = loc + jnp.exp(0.5 * log_var) * noise
  return model.likelihood.log_prob(model.vae.decode(params, z), x)
