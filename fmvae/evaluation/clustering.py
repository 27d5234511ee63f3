"""Cluster assignments against labels that serve for scoring alone."""

import dataclasses

import numpy as np

from fmvae.evaluation.assigned import Assigned, by_factor


@dataclasses.dataclass(frozen=True)
class ClusterScores:
  """Agreement of clusters with classes, each 1 where they are the same."""

  acc: float  # unsupervised clustering accuracy, 0 to 1
  nmi: float  # normalised mutual information (arithmetic mean), 0 to 1
  ari: float  # adjusted Rand index, 0 on average for random assignments
  purity: float  # share of images of the commonest class of their cluster


def cluster_scores(assigned: np.ndarray, labels: np.ndarray) -> ClusterScores:
  """Scores assignments against labels.

  ACC is the share of images whose class is that of their cluster under the best
  one-to-one matching of clusters to classes (the Hungarian method). Surplus
  clusters stay unmatched and their images count as wrong: with more clusters
  than classes ACC falls although every cluster may be pure. Purity lets several
  clusters be of one class, and rises with their number whatever they are.

  Args:
    assigned: cluster of each image, int `[N]`.
    labels: class of each image, int `[N]`; images with -1, missing, are left
      out.

  Returns:
    The scores.

  Raises:
    ValueError: arrays not `[N]` of one length, or no label that is not -1.
  """
  # Both load slowly.
  from scipy.optimize import linear_sum_assignment
  from sklearn import metrics

  assigned, labels = np.asarray(assigned), np.asarray(labels)
  if labels.ndim != 1 or assigned.shape != labels.shape:
    raise ValueError(
      "assigned and labels must be [N] of one length, got "
      f"{assigned.shape} and {labels.shape}"
    )
  known = labels != -1
  if not known.any():
    raise ValueError(f"labels must hold one other than -1, got {labels.shape}")
  assigned, labels = assigned[known], labels[known]
  counts = metrics.cluster.contingency_matrix(labels, assigned)
  matched = counts[linear_sum_assignment(counts, maximize=True)]
  return ClusterScores(
    acc=float(np.sum(matched) / len(labels)),
    nmi=float(metrics.normalized_mutual_info_score(labels, assigned)),
    ari=float(metrics.adjusted_rand_score(labels, assigned)),
    purity=float(np.sum(np.max(counts, 0)) / len(labels)),
  )


@dataclasses.dataclass(frozen=True)
class LabelScores:
  """Every factor's clusters against the feature 'label'."""

  factors: tuple[ClusterScores, ...]

  def scalars(self) -> dict[str, float]:
    """`acc`, `nmi`, `ari` and `purity` of every factor."""
    out: dict[str, float] = {}
    for name in ("acc", "nmi", "ari", "purity"):
      out |= by_factor(name, tuple(getattr(s, name) for s in self.factors))
    return out

  def __str__(self) -> str:
    return "\n".join(
      f"  factor {i} against labels: accuracy {s.acc:.2f}, NMI {s.nmi:.2f},"
      f" ARI {s.ari:.2f}, purity {s.purity:.2f}"
      for i, s in enumerate(self.factors)
    )


def score_labels(assigned: Assigned) -> LabelScores | None:
  """Scores every factor, where the data set has a feature 'label'."""
  label = assigned.test.features.get("label")
  if label is None:
    return None
  return LabelScores(tuple(cluster_scores(k, label) for k in assigned.codes))


_SHOWN = 5  # features that name no factor, in print


@dataclasses.dataclass(frozen=True)
class UnnamedScores:
  """Each feature that names no factor: the factor that tells most of it."""

  best: dict[str, tuple[int, float]]  # factor and NMI, by feature

  def scalars(self) -> dict[str, float]:
    """`nmi/FEATURE` of every feature."""
    return {f"nmi/{feature}": nmi for feature, (_, nmi) in self.best.items()}

  def __str__(self) -> str:
    told = sorted(self.best.items(), key=lambda item: -item[1][1])
    return "\n".join(
      f"  unnamed {feature}: told best by factor {i}, NMI {nmi:.2f}"
      for feature, (i, nmi) in told[:_SHOWN]
    )


def score_unnamed(assigned: Assigned) -> UnnamedScores | None:
  """Features that name no factor against the factors that have no name.

  None where no factor has a name: the features then serve as labels at most.
  """
  model = assigned.model
  named = {p.feature for p in model.properties}
  if not named or not model.unnamed:
    return None
  best = {}
  for feature, values in assigned.test.features.items():
    if feature not in named:
      nmis = [
        cluster_scores(assigned.codes[i], values).nmi for i in model.unnamed
      ]
      i = int(np.argmax(nmis))
      best[feature] = (model.unnamed[i], nmis[i])
  return UnnamedScores(best)
