"""The test bound over many draws of z."""

import jax
import numpy as np

from experiments import digits
from fmvae import evaluation, experiment
from fmvae.evaluation import bound


def test_draws_are_taken_in_chunks(prepared):
  config = digits.get_config("smoke")
  config.network.hidden = (16,)
  exp = experiment.build(config, data_dir=prepared)
  state, test = experiment.init(exp), exp.test
  keys = jax.random.split(jax.random.key(bound._SEED), len(test))

  def score(num, keys):
    terms, _ = bound._score(exp.model, num, state, keys, test.images)
    return np.asarray(terms.reconstruction, np.float64)

  def evaluate(num):
    return evaluation.evaluate(
      exp.model, state, test, num_data=len(exp.train), num_samples=num
    ).reconstruction

  one, other = score(50, keys), score(10, bound._fold_in(keys, 1))
  assert evaluate(50) == np.mean(one)  # as at once, bit for bit
  np.testing.assert_allclose(evaluate(60), np.mean((5 * one + other) / 6))
  assert evaluate(60) != evaluate(50)
