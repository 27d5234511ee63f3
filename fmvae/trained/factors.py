"""What a user may call the factors of a model and their components."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmvae.model import Model, TrainState

Components = Mapping[int | str, Any] | Sequence[Any] | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
  """A factor of z and the components of its mixture."""

  name: str  # of the property that it stands for, else its number
  size: int  # D
  components: tuple[str, ...]  # names, else numbers, [K]
  share: np.ndarray  # [K] of the data, by q(pi)
  pruned: np.ndarray  # [K] bool: fewer than one data point

  def __repr__(self) -> str:
    used = [
      k for k in np.argsort(-self.share, kind="stable") if not self.pruned[k]
    ]
    shown = [f"{self.components[k]} {100 * self.share[k]:.0f} %" for k in used]
    more = [".."] if len(shown) > 6 else []
    return (
      f"Factor {self.name}: D = {self.size}, K = {len(self.components)}, "
      f"{len(used)} used: {', '.join(shown[:6] + more)}"
    )


def factors_of(model: Model, state: TrainState) -> tuple[Factor, ...]:
  """The factors of a model, in order; none under N(0, I)."""
  named = {p.factor: p for p in model.properties}
  out = []
  pairs = zip(model.prior.factors, model.usage(state), strict=True)
  for i, ((size, k), usage) in enumerate(pairs):
    names = named[i].names if i in named else ()
    out.append(
      Factor(
        named[i].feature if i in named else str(i),
        size,
        (*names, *map(str, range(len(names), k))),
        np.asarray(usage.share),
        np.asarray(usage.pruned),
      )
    )
  return tuple(out)


def choose(
  factors: Sequence[Factor], given: Components, num: int
) -> np.ndarray:
  """The components that a user asks for, int `[num, I]`, -1 where none.

  Args:
    factors: of the model.
    given: by the number or the name of a factor, or one for each factor: a
      component by its number or name, None for none, or `num` of these. Or
      numbers `[num, I]`, as `Trained.codes` gives them.
    num: of images.

  Raises:
    ValueError: it names what the model does not have; says what it has.
  """
  out = np.full((num, len(factors)), -1)
  if not isinstance(given, Mapping):
    if isinstance(given, np.ndarray) and given.ndim == 2:
      if given.shape != out.shape:
        raise ValueError(
          f"components must be {list(out.shape)}, got {list(given.shape)}"
        )
      given = given.T
    if isinstance(given, str) or len(given) != len(factors):
      raise ValueError(
        f"components must be one for each of {len(factors)} factors, or a "
        f"mapping, such as {{{_key(factors, 0)!r}: 0}}, got {given!r}"
      )
    given = dict(enumerate(given))
  for which, value in given.items():
    i = _factor(factors, which)
    values = [value] if isinstance(value, str) or np.ndim(value) == 0 else value
    if len(values) not in (1, num):
      raise ValueError(
        f"components of {factors[i].name} must be one or {num}, got "
        f"{len(values)}"
      )
    out[:, i] = [_component(factors[i], v) for v in values]
  return out


def _key(factors: Sequence[Factor], i: int) -> int | str:
  return i if factors[i].name == str(i) else factors[i].name


def _factor(factors: Sequence[Factor], which: Any) -> int:
  for i, factor in enumerate(factors):
    if which == factor.name or (_is_number(which) and which == i):
      return i
  known = [_key(factors, i) for i in range(len(factors))]
  raise ValueError(f"the model has factors {known}, got {which!r}")


def _component(factor: Factor, which: Any) -> int:
  if which is None or (_is_number(which) and which == -1):
    return -1
  if _is_number(which) and 0 <= which < len(factor.components):
    return int(which)
  if isinstance(which, str) and which in factor.components:
    return factor.components.index(which)
  known = ", ".join(factor.components)
  raise ValueError(
    f"factor {factor.name} has components {known}, got {which!r}"
  )


def _is_number(value: Any) -> bool:
  return isinstance(value, int | np.integer) and not isinstance(value, bool)
