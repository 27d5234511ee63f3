"""The Dirichlet distribution of the mixing weights of one factor."""

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import digamma, gammaln

from fmvae.prior.normal_gamma import gamma_entropy_term


def expected_log_weights(c: Array) -> Array:
  """E[log pi_k] = psi(c_k) - psi(sum c), `[..., K]` (eq. 5)."""
  return digamma(c) - digamma(jnp.sum(c, -1, keepdims=True))


def kl_to_symmetric(c: Array, c0: float) -> Array:
  """KL(Dir(c) || Dir(c0, .., c0)) in nats, `[...]` for c `[..., K]`.

  Line 4e; the paper takes its standard form as known. The terms of size
  sum(c) log sum(c) cancel; `gamma_entropy_term` takes them together.
  """
  num = c.shape[-1]
  total = jnp.sum(c, -1)
  base = num * gammaln(jnp.asarray(c0, c.dtype)) - gammaln(
    jnp.asarray(num * c0, c.dtype)
  )
  return (
    jnp.sum(gamma_entropy_term(c), -1)
    - gamma_entropy_term(total)
    - c0 * jnp.sum(expected_log_weights(c), -1)
    + base
  )
