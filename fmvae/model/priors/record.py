"""What goes into and comes out of every prior."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array


class Variables(NamedTuple):
  """All that a prior may look at; see `fmvae.model.priors`."""

  params: Any  # trained by the optimiser, beside theta and phi
  state: Any  # changed by the prior's own update
  encode: Callable[[Array], tuple[Array, Array]]  # x -> loc, log_var of q(z|x)
  # The first n of the points that `init_from` is given, float [n, H, W, C].
  inputs: Callable[[int], Array] | None = None


class Encoding(NamedTuple):
  """q(z|x) = N(loc, diag variance) of each point, and one draw of it."""

  loc: Array  # [..., L]
  log_var: Array  # [..., L]
  variance: Array  # [..., L]
  z: Array  # [..., L]


class Costs(NamedTuple):
  """What a prior charges for each point, in nats."""

  kl_z: Array  # [..., I] line 4b
  kl_r: Array  # [..., I] line 4c
  label_log_prob: Array  # [..., I] log g_iy of eq. 8, 0 where unlabelled
  resp: tuple[Array, ...]  # gamma_i [..., K_i] of each factor with components
