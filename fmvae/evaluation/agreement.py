"""What a property truly is against what it was taken for, property by property.

The same table serves q(r|x) on real images, a classifier on generated ones and
people's answers.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
  """Counts of (truth, judgement) of one property."""

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


def agreement(
  feature: str,
  names: tuple[str, ...],
  truth: np.ndarray,
  judged: np.ndarray,
  num_components: int,
) -> Agreement:
  """Counts judgements of one property.

  Args:
    feature: what the property is called.
    names: of its components, V of them.
    truth: components, int `[N]`; images with -1 are left out.
    judged: components, int `[N]`, 0 to `num_components` - 1; -1, no answer, is
      left out too.
    num_components: K of the factor.

  Raises:
    ValueError: arrays not `[N]` of one length, or nothing that can be counted.
  """
  truth, judged = np.asarray(truth), np.asarray(judged)
  if truth.ndim != 1 or truth.shape != judged.shape:
    raise ValueError(
      "truth and judged must be [N] of one length, got "
      f"{truth.shape} and {judged.shape}"
    )
  known = (truth >= 0) & (judged >= 0)
  if not known.any():
    raise ValueError(f"{feature}: there is no image whose value is known")
  counts = np.zeros((len(names), num_components), np.int64)
  np.add.at(counts, (truth[known], judged[known]), 1)
  return Agreement(feature, names, counts)
