"""Scores of a trained model."""

from fmvae.evaluation.bound import Evaluation, evaluate, score_images
from fmvae.evaluation.classifier import (
  Classifier,
  SwapScore,
  classify_generated,
  classify_swapped,
  disobeys,
  generate,
  train_classifier,
)
from fmvae.evaluation.clustering import (
  ClusterScores,
  LabelScores,
  UnnamedScores,
  cluster_scores,
)
from fmvae.evaluation.collapse import (
  Diagnosis,
  diagnose,
  examine,
  num_used,
  perplexity,
)
from fmvae.evaluation.confusion import (
  ConfusionMatrix,
  PropertyScores,
  confusion_matrix,
)
from fmvae.evaluation.disentanglement import (
  Disentanglement,
  disentanglement,
  nmi_matrix,
)
from fmvae.evaluation.importance import ImportanceEstimate, importance_nll

__all__ = [
  "Classifier",
  "ClusterScores",
  "ConfusionMatrix",
  "Diagnosis",
  "Disentanglement",
  "Evaluation",
  "ImportanceEstimate",
  "LabelScores",
  "PropertyScores",
  "SwapScore",
  "UnnamedScores",
  "classify_generated",
  "classify_swapped",
  "cluster_scores",
  "confusion_matrix",
  "diagnose",
  "disentanglement",
  "disobeys",
  "evaluate",
  "examine",
  "generate",
  "importance_nll",
  "nmi_matrix",
  "num_used",
  "perplexity",
  "score_images",
  "train_classifier",
]
