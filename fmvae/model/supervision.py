"""Labels in the joint phase: F of eq. 8 and what it asks of the prior.

While Delta > 0 the factors that labels name move by the gradients of F together
with theta and phi (Sec. 2.5); when a schedule takes Delta to 0 they return to
eq. 13-14, with responsibilities clamped where there are labels.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from fmvae import prior
from fmvae.model.phases import Phase, Supervision
from fmvae.model.train_state import TrainState

Factors = tuple[prior.MeanParams, ...]


def named_factors(supervision: Supervision, prior_state: Any) -> Factors:
  """Those that labels name, which the gradient of F is taken by."""
  return tuple(prior_state.factors[i] for i in supervision.factors)


def with_named(
  supervision: Supervision, prior_state: Any, factors: Factors
) -> Any:
  """The prior's state with `factors` in place of those that labels name."""
  if not factors:
    return prior_state
  out = list(prior_state.factors)
  for i, f in zip(supervision.factors, factors, strict=True):
    out[i] = f
  return dataclasses.replace(prior_state, factors=tuple(out))


def named_global_cost(prior_state: prior.PriorState, factors: Factors) -> Array:
  """Lines 4d and 4e of the named factors, before the 1/N, a number of nats."""
  of_named = dataclasses.replace(prior_state, factors=factors)
  return jnp.sum(prior.kl_global(of_named))


def update_named(
  phase: Phase, old: TrainState, new: TrainState, grads: Factors
) -> TrainState:
  """The first-order step of eq. 8 while Delta > 0, else what `new` has.

  Args:
    phase: with the supervision.
    old: before the step; the gradients were taken there.
    new: after the networks' step and eq. 13-14.
    grads: of the loss by the named factors, in mean parameters.
  """
  supervision = phase.supervision
  factors = named_factors(supervision, old.prior)
  updates, opt_state = supervision.optimizer.update(
    tuple(map(prior.log_gradients, factors, grads)),
    old.named_opt_state,
    factors,
  )
  stepped = tuple(map(prior.apply_log_updates, factors, updates)), opt_state
  closed = named_factors(supervision, new.prior), old.named_opt_state
  delta = supervision.delta(old.step)
  factors, opt_state = jax.tree.map(
    lambda x, y: jnp.where(delta > 0, x, y), stepped, closed
  )
  return new.replace(
    prior=with_named(supervision, new.prior, factors),
    named_opt_state=opt_state,
  )


def init(supervision: Supervision, prior_state: Any) -> optax.OptState:
  """The state of the named factors' optimiser before the first step."""
  return supervision.optimizer.init(named_factors(supervision, prior_state))
