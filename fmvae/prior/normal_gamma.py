"""The Normal-Gamma distribution of one component and dimension (App. B, C.1).

  q(mu, alpha) = N(mu; m, 1 / (s alpha)) Gamma(alpha; a, rate b)

is an exponential family in [log alpha, alpha, alpha mu, alpha mu^2] with the
natural parameters of eq. 12,

  lambda1 = a - 1/2              lambda2 = -(b + s m^2 / 2)
  lambda3 = s m                  lambda4 = -s / 2.

The map is one to one, but not in float32: a cluster that lies 1,000 standard
deviations from the origin has lambda2 = -(b + 10^6 b), and b is lost in its
last digit. This package therefore keeps (m, s, a, b) and mixes two
distributions by `blend`, which is eq. 14 with the same result and no
difference of large numbers. All costs are in nats.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import digamma

from fmvae.prior import stirling


class NormalGamma(NamedTuple):
  """Mean parameters of Normal-Gammas, four arrays of one shape."""

  m: Array
  s: Array
  a: Array
  b: Array


class NaturalParams(NamedTuple):
  """Natural parameters of eq. 12, four arrays of one shape."""

  lambda1: Array
  lambda2: Array
  lambda3: Array
  lambda4: Array


def to_natural(q: NormalGamma) -> NaturalParams:
  """Eq. 12: natural parameters from mean parameters."""
  return NaturalParams(
    lambda1=q.a - 0.5,
    lambda2=-(q.b + 0.5 * q.s * q.m**2),
    lambda3=q.s * q.m,
    lambda4=-0.5 * q.s,
  )


def blend(
  q: NormalGamma, shift: Array, target: NormalGamma, rho
) -> NormalGamma:
  """Eq. 7 and 14: (1 - rho) lambda + rho lambda*, in mean parameters.

  The first three natural parameters mix as they stand. For the second, the
  parallel-axis theorem gives

    b' = (1 - rho) b + rho b* + ((1 - rho) s rho s* / 2 s') (m* - m)^2,

  a sum of positive terms where -lambda2' - s' m'^2 / 2 would cancel.

  Args:
    q: the current distribution.
    shift: m* - m, known to more digits than the difference of the two means.
    target: the batch optimum of eq. 13; its `m` is not read.
    rho: step size in [0, 1].
  """
  s = (1 - rho) * q.s + rho * target.s
  pull = rho * target.s / s
  return NormalGamma(
    m=q.m + pull * shift,
    s=s,
    a=(1 - rho) * q.a + rho * target.a,
    b=(1 - rho) * q.b
    + rho * target.b
    + 0.5 * (1 - rho) * q.s * pull * shift**2,
  )


def expected_log_alpha(a: Array, b: Array) -> Array:
  """E[log alpha] = psi(a) - log b."""
  return digamma(a) - jnp.log(b)


def kl(q: NormalGamma, m0: Array, s0: float, a0: float, b0: Array) -> Array:
  """KL(q || NormalGamma(m0, s0, a0, b0)) of each element in nats.

  App. C.1 with lgamma, a slip in print. The terms a psi(a), lgamma(a) and
  b a / b are taken together by `stirling.entropy_term`.
  """
  ratio = s0 / q.s
  normal = s0 * (q.a / q.b) * (q.m - m0) ** 2 + ratio - jnp.log(ratio) - 1
  gamma = (
    a0 * jnp.log(q.b / b0)
    + math.lgamma(a0)
    - a0 * digamma(q.a)
    + stirling.entropy_term(q.a)
    + b0 * q.a / q.b
  )
  return 0.5 * normal + gamma
