"""A factor comes to stand for the property that names it."""

import jax
import pytest

from experiments import digits
from fmvae import evaluation, experiment
from fmvae.training import loop


@pytest.mark.parametrize(
  "delta", [((0.0, 100.0),), ((0.0, 100.0), (0.6, 100.0), (0.6, 0.0))]
)
def test_a_factor_learns_its_property(delta, prepared, tmp_path):
  config = digits.get_config("smoke")
  config.dataset.labels = ((1, "label"),)
  config.dataset.labelled_fraction = 0.4
  config.factors = ((10, 5), (6, 10))
  config.network.hidden = (64,)
  config.batch_size = 32
  config.learning_rate = 3e-3
  config.steps = {"pretrain": 0, "prior": 20, "joint": 600}
  config.delta = delta
  config.log_every = 100
  exp = experiment.build(config, data_dir=prepared)
  devices = jax.devices()[:1]
  loop.prepare(exp, tmp_path, devices)
  result = loop.train(exp, tmp_path, devices)
  (digit,) = result.score(evaluation.PropertyScores).matrices
  assert digit.feature == "label"
  assert digit.accuracy >= 0.75
  assert digit.balanced_accuracy >= 0.75
