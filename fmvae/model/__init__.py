"""The model as a value, its objective, its state and the training step."""

from fmvae.model.model import Model, Property
from fmvae.model.objective import Terms, local_terms
from fmvae.model.phases import Phase, Supervision
from fmvae.model.priors import Prior
from fmvae.model.step import init, init_prior, model_at, train_step
from fmvae.model.train_state import TrainState, pack, unpack

__all__ = [
  "Model",
  "Phase",
  "Prior",
  "Property",
  "Supervision",
  "Terms",
  "TrainState",
  "init",
  "init_prior",
  "local_terms",
  "model_at",
  "pack",
  "train_step",
  "unpack",
]
