"""Scores of a trained model."""

from fmvae.evaluation.bound import (
  Evaluation,
  collapse_warning,
  evaluate,
  warn_of_collapse,
)
from fmvae.evaluation.clustering import ClusterScores, cluster_scores
from fmvae.evaluation.importance import ImportanceEstimate, importance_nll
from fmvae.evaluation.report import report

__all__ = [
  "ClusterScores",
  "Evaluation",
  "ImportanceEstimate",
  "cluster_scores",
  "collapse_warning",
  "evaluate",
  "importance_nll",
  "report",
  "warn_of_collapse",
]
