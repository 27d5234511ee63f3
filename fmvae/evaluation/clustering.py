"""Cluster assignments against labels that serve for scoring alone."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClusterScores:
  """Agreement of clusters with classes, each 1 where they are the same."""

  acc: float  # unsupervised clustering accuracy, 0 to 1
  nmi: float  # normalised mutual information (arithmetic mean), 0 to 1
  ari: float  # adjusted Rand index, 0 on average for random assignments


def cluster_scores(assigned: np.ndarray, labels: np.ndarray) -> ClusterScores:
  """Scores assignments against labels.

  ACC is the share of images whose class is that of their cluster under the best
  one-to-one matching of clusters to classes (the Hungarian method). Surplus
  clusters stay unmatched and their images count as wrong: with more clusters
  than classes ACC falls although every cluster may be pure.

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
  )
