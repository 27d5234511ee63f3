"""Scores of a trained model."""

from fmvae.evaluation.agreement import Agreement, agreement
from fmvae.evaluation.bound import (
  Evaluation,
  collapse_warning,
  evaluate,
  warn_of_collapse,
)
from fmvae.evaluation.clustering import ClusterScores, cluster_scores
from fmvae.evaluation.importance import ImportanceEstimate, importance_nll
from fmvae.evaluation.judge import (
  Judge,
  generate,
  judge_generated,
  train_judge,
)
from fmvae.evaluation.report import report

__all__ = [
  "Agreement",
  "ClusterScores",
  "Evaluation",
  "ImportanceEstimate",
  "Judge",
  "agreement",
  "cluster_scores",
  "collapse_warning",
  "evaluate",
  "generate",
  "importance_nll",
  "judge_generated",
  "report",
  "train_judge",
  "warn_of_collapse",
]
