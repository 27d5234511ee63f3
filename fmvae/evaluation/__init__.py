"""Scores of a trained model."""

from fmvae.evaluation.bound import (
  Evaluation,
  collapse_warning,
  evaluate,
  warn_of_collapse,
)
from fmvae.evaluation.report import report

__all__ = [
  "Evaluation",
  "collapse_warning",
  "evaluate",
  "report",
  "warn_of_collapse",
]
