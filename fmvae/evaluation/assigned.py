"""What a score sees of a test set, and what it gives back."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from fmvae.data import Split
from fmvae.model import Model


@dataclasses.dataclass(frozen=True, eq=False)
class Assigned:
  """The test set as a model whose prior has components assigns it."""

  model: Model
  test: Split
  codes: tuple[np.ndarray, ...]  # most responsible component, int [N] a factor


class Score(Protocol):
  """A score of a test set; `str` gives its lines for a person."""

  def scalars(self) -> dict[str, float]:
    """Its numbers by name, `name/i` for factor i where there are several."""


Scorer = Callable[[Assigned], Score | None]  # None where it does not apply


def by_factor(name: str, values: tuple[float, ...]) -> dict[str, float]:
  """`name`, or `name/i` for each factor where there are several."""
  if len(values) == 1:
    return {name: values[0]}
  return {f"{name}/{i}": value for i, value in enumerate(values)}
