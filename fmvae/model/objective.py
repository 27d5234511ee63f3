"""The evidence lower bound and its labels, term by term (eq. 4, 8, 11).

Every function works on any number of leading axes and returns costs in nats
per data point. Training code lives elsewhere.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from fmvae.model import control
from fmvae.model.model import Model
from fmvae.model.priors import Encoding


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


def local_terms(
  model: Model,
  params: Mapping[str, Any],
  prior_state: Any,
  x: Array,
  noise: Array,
  labels: Array | None = None,
  drawn: Array | None = None,
) -> tuple[Terms, tuple[Array, ...], Encoding]:
  """Lines 4a-4c and the cross entropy of eq. 8 under the model's prior.

  Args:
    model: with the prior that is in effect.
    params: of its networks, and of its prior where that has any.
    prior_state: what the prior's update changes.
    x: float images `[..., H, W, C]`.
    noise: standard normal `[..., L]`, for the reparameterised z.
    labels: int `[..., I]`, -1 where missing; None where there are none at all.
    drawn: bool `[...]`, images that are decoded from draws of their named
      components (`control.draw_named`).

  Returns:
    The terms, the responsibilities, gamma_i `[..., K_i]` for each factor, and
    the encoding that both are of.
  """
  loc, log_var = model.vae.encode(params, x)
  variance = jnp.exp(log_var)
  z = loc + jnp.exp(0.5 * log_var) * noise
  encoding = Encoding(loc, log_var, variance, z)
  variables = model.variables(params, prior_state)
  costs = model.prior.costs(variables, encoding, labels)
  if drawn is not None:
    z = control.draw_named(model, prior_state, z, noise, costs.resp, drawn)
  terms = Terms(
    reconstruction=model.likelihood.log_prob(model.vae.decode(params, z), x),
    kl_z=costs.kl_z,
    kl_r=costs.kl_r,
    label_log_prob=costs.label_log_prob,
  )
  return terms, costs.resp, encoding
