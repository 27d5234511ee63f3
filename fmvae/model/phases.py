"""The phases of training as data, and the schedules that they follow.

A phase says which prior is in effect, which of the three updates of Sec. 2.4
`train_step` takes, and by which schedules. Phases hash by value: what builds a
schedule or an optimiser is cached, so that equal settings give the same one.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fmvae import prior
from fmvae.model.priors import Prior

Schedule = Callable[[jax.Array], jax.Array]  # by step
Points = tuple[tuple[float, float], ...]  # (fraction of a phase, value)


@functools.cache
def constant(value: float) -> Schedule:
  """The same value at every step."""
  return optax.constant_schedule(value)


@functools.cache
def rising(steps: int) -> Schedule:
  """From 0 to 1 over so many steps, 1 from then on; 1 throughout for 0."""
  return optax.linear_schedule(0.0 if steps else 1.0, 1.0, steps)


@functools.cache
def adam(
  rate: float, steady: int, falling: int
) -> optax.GradientTransformation:
  """Adam with a rate that stays, then falls to 0 by a cosine.

  Args:
    rate: at the start.
    steady: updates at that rate, before it falls.
    falling: updates over which it falls; 0: it never does.
  """
  constant_rate = optax.constant_schedule(rate)
  if not falling:
    return optax.adam(constant_rate)
  decay = optax.cosine_decay_schedule(rate, falling)
  if not steady:
    return optax.adam(decay)
  return optax.adam(optax.join_schedules([constant_rate, decay], [steady]))


@functools.cache
def along(points: Points, start: int, length: int) -> Schedule:
  """Straight lines between points, by step.

  Args:
    points: (fraction of the phase, value), fractions from 0 to 1 in order. Two
      of one fraction are a jump, which comes after the step at it.
    start: steps before the phase.
    length: steps of the phase.
  """
  fractions, values = np.asarray(points, np.float32).T
  return lambda step: jnp.interp(
    (step - start) / max(length, 1), fractions, values
  )


def is_number(value: Any) -> bool:
  """Whether it is a number that float32 can hold, and no truth value."""
  return (
    isinstance(value, int | float)
    and not isinstance(value, bool)
    and abs(value) <= _MOST
  )


def as_points(value: Any) -> Points:
  """Checks points for `along`, as a config or a JSON file has them.

  Raises:
    ValueError: no pairs of numbers, fractions that are not in order from 0 to
      1, or a value below 0.
  """
  if not (
    isinstance(value, tuple | list)
    and value
    and all(
      isinstance(p, tuple | list)
      and len(p) == 2
      and all(map(is_number, p))
      and 0 <= p[0] <= 1
      and p[1] >= 0
      for p in value
    )
    and all(p[0] <= q[0] for p, q in itertools.pairwise(value))
  ):
    raise ValueError(
      "it must hold points (fraction of the joint phase, value of at least 0), "
      f"such as ((0, 1000), (0.5, 0)), got {value!r}"
    )
  return tuple((float(fraction), float(height)) for fraction, height in value)


robbins_monro = functools.cache(prior.robbins_monro)
_MOST = float(np.finfo(np.float32).max)
ZERO, ONE = constant(0.0), constant(1.0)
_NO_OPTIMIZER = optax.identity()


@dataclasses.dataclass(frozen=True)
class Supervision:
  """How labels bear on the joint phase (eq. 8)."""

  factors: tuple[int, ...] = ()  # those that labels name; others have none
  delta: Schedule = ZERO  # by step
  # Of the named factors in (m, log s, log a, log b, log c):
  optimizer: optax.GradientTransformation = _NO_OPTIMIZER


@dataclasses.dataclass(frozen=True)
class Phase:
  """Some steps that are alike; see the module."""

  name: str
  start: int  # steps before it
  end: int  # steps up to its last one
  prior: Prior  # in effect
  num_data: int  # N, the size of the training set
  trains_networks: bool = True  # step 2 of Sec. 2.4: theta and phi
  updates_prior: bool = True  # step 3 of Sec. 2.4: eq. 13-14
  encodes_again: bool = True  # step 3 has the phi of step 2, not that before
  optimizer: optax.GradientTransformation = _NO_OPTIMIZER  # of theta and phi
  kl_z_weight: Schedule = ONE  # of line 4b, by step
  step_size: Schedule = ZERO  # rho, by the prior's updates so far
  supervision: Supervision = Supervision()
  flips: bool = False  # of images, as `data.augment` says
  shifts: int = 0  # pixels, as there
  draw_named: float = 0.0  # share of a batch, as `control` says
  independence: float = 0.0  # weight of what other z_i tell, as there
  obedience: float = 0.0  # weight of what is not seen in pictures, as there
  init_encodings: int = 0  # it starts with `init_prior` from so many of them
