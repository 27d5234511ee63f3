"""The test bound over many draws of z."""

import jax
import numpy as np

from fmvae import evaluation
from fmvae.evaluation import bound
from tests import named


def test_draws_are_taken_in_chunks():
  exp = named.build()
  state, test = named.started(exp), exp.test
  keys = jax.random.split(jax.random.key(bound._SEED), len(test))
  at_once, _ = bound._score(exp.model, 50, state, keys, test.images)

  def evaluate(num):
    return evaluation.evaluate(
      exp.model, state, test, num_data=len(exp.train), num_samples=num
    )

  one = evaluate(50)  # as if there were no chunks, bit for bit
  assert one.bound == np.mean(np.asarray(at_once.bound, np.float64))
  rest_keys = bound._fold_in(keys, 1)
  rest, _ = bound._score(exp.model, 10, state, rest_keys, test.images)
  both = (50 * at_once.reconstruction + 10 * rest.reconstruction) / 60
  two = evaluate(60)
  np.testing.assert_allclose(two.reconstruction, np.mean(both), rtol=1e-5)
  assert two.reconstruction != one.reconstruction
