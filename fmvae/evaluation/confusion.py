"""What a property truly is against what it was taken for, property by property.

The same table serves q(r|x) on real images, a classifier on generated ones and
people's answers.
"""

import dataclasses

import numpy as np

from fmvae.evaluation.assigned import Assigned


@dataclasses.dataclass(frozen=True, eq=False)
class ConfusionMatrix:
  """Counts of (truth, what was seen) of one property."""

  feature: str
  names: tuple[str, ...]  # of the components that stand for a value, V of them
  counts: np.ndarray  # int [V, K], true component and the one assigned, K >= V

  @property
  def accuracy(self) -> float:
    """Share of the images that were assigned the true component."""
    return float(np.trace(self.counts) / np.sum(self.counts))

  @property
  def balanced_accuracy(self) -> float:
    """Mean over the values present of the share assigned correctly."""
    totals = self.counts.sum(1)
    right = np.diagonal(self.counts)[totals > 0]
    return float(np.mean(right / totals[totals > 0]))

  @property
  def majority(self) -> float:
    """Accuracy of always assigning the most frequent value."""
    return float(np.max(self.counts.sum(1)) / np.sum(self.counts))

  def scalars(self) -> dict[str, float]:
    """The three numbers as `accuracy/FEATURE` and so on."""
    return {
      f"{name}/{self.feature}": getattr(self, name)
      for name in ("accuracy", "balanced_accuracy", "majority")
    }

  def record(self) -> dict[str, object]:
    """Everything, for a JSON file."""
    return {
      "accuracy": self.accuracy,
      "balanced_accuracy": self.balanced_accuracy,
      "majority": self.majority,
      "names": self.names,
      "counts": self.counts.tolist(),
    }

  def __str__(self) -> str:
    return (
      f"{self.feature}: accuracy {100 * self.accuracy:.1f} %, balanced "
      f"{100 * self.balanced_accuracy:.1f} %, majority class "
      f"{100 * self.majority:.1f} %"
    )

  def table(self) -> str:
    """The confusion matrix, a row for each true value."""
    columns = [*self.names]
    columns += [f"({k})" for k in range(len(columns), self.counts.shape[1])]
    width = max(map(len, columns)) + 2
    head = "".join(f"{name:>{width}}" for name in columns)
    rows = [
      f"{name:>{width}}" + "".join(f"{n:>{width}}" for n in row)
      for name, row in zip(self.names, self.counts, strict=True)
    ]
    return "\n".join([f"{'truth':>{width}}{head}", *rows])


def confusion_matrix(
  feature: str,
  names: tuple[str, ...],
  truth: np.ndarray,
  seen: np.ndarray,
  num_components: int,
) -> ConfusionMatrix:
  """Counts what was seen of one property.

  Args:
    feature: what the property is called.
    names: of its components, V of them.
    truth: components, int `[N]`; images with -1 are left out.
    seen: components, int `[N]`, 0 to `num_components` - 1; -1, no answer, is
      left out too.
    num_components: K of the factor.

  Raises:
    ValueError: arrays not `[N]` of one length, or nothing that can be counted.
  """
  truth, seen = np.asarray(truth), np.asarray(seen)
  if truth.ndim != 1 or truth.shape != seen.shape:
    raise ValueError(
      "truth and seen must be [N] of one length, got "
      f"{truth.shape} and {seen.shape}"
    )
  known = (truth >= 0) & (seen >= 0)
  if not known.any():
    raise ValueError(f"{feature}: there is no image whose value is known")
  counts = np.zeros((len(names), num_components), np.int64)
  np.add.at(counts, (truth[known], seen[known]), 1)
  return ConfusionMatrix(feature, names, counts)


@dataclasses.dataclass(frozen=True, eq=False)
class PropertyScores:
  """q(r|x) against the properties that name factors (Sec. 4.2)."""

  matrices: tuple[ConfusionMatrix, ...]

  def scalars(self) -> dict[str, float]:
    """Those of every matrix."""
    return {k: v for m in self.matrices for k, v in m.scalars().items()}

  def __str__(self) -> str:
    return "\n".join(f"  assigned {matrix}" for matrix in self.matrices)


def score_properties(assigned: Assigned) -> PropertyScores | None:
  """Assigned components against the properties that name factors."""
  model, features = assigned.model, assigned.test.features
  if not model.properties:
    return None
  return PropertyScores(
    tuple(
      confusion_matrix(
        p.feature,
        p.names,
        p.component_of(features[p.feature]),
        assigned.codes[p.factor],
        model.prior.factors[p.factor][1],
      )
      for p in model.properties
    )
  )
