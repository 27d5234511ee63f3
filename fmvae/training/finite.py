"""Whether the numbers of a run are finite, and which step broke them.

The loop looks at a stretch of steps at once, which costs nothing while all is
well. Where a number is not finite `replay` goes through the stretch again, step
by step: steps are pure, so that this gives what the first time gave.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from fmvae.model import TrainState

Info = dict[str, float]  # of a step, on the host
_PARTS = ("params", "opt_state", "prior", "named_opt_state")


def broken_terms(infos: Sequence[Info], state: TrainState) -> list[str]:
  """Terms of steps that are not finite, else parts of the state after them."""
  terms = [
    name
    for name in infos[0]
    if name != "bound" and not all(math.isfinite(info[name]) for info in infos)
  ]
  finite = _finite_parts(state)
  return terms or [name for name, ok in finite.items() if not ok]


@jax.jit
def _finite_parts(state: TrainState) -> dict[str, jax.Array]:
  """Whether each part of a state is finite, by name."""
  return {
    name: jax.tree.reduce(
      lambda finite, x: finite & jnp.all(jnp.isfinite(x)),
      getattr(state, name),
      jnp.array(True),
    )
    for name in _PARTS
  }


def replay(
  take_step: Callable[[], tuple[TrainState, Info]],
  num_steps: int,
  keep: Callable[[TrainState, Info], None],
) -> list[str]:
  """Takes steps until one is broken; [] if, this time, none is.

  Args:
    take_step: the next step: the state after it and its info.
    num_steps: how many were taken the first time.
    keep: called after each step that is whole.
  """
  for _ in range(num_steps):
    state, info = take_step()
    if broken := broken_terms([info], state):
      return broken
    keep(state, info)
  return []
