"""Perplexity, the collapse warning, and the start that avoids it."""

import numpy as np
import pytest

from experiments import digits
from fmvae import evaluation, experiment
from fmvae.evaluation import perplexity
from tests import named


def test_perplexity_counts_components_in_effect():
  assert perplexity(np.array([1.0, 0.0, 0.0])) == 1
  assert perplexity(np.full(7, 1 / 7)) == pytest.approx(7)
  assert perplexity(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


@pytest.mark.parametrize(
  ("num_components", "perplexities", "kl_rs", "collapsed"),
  [
    ((1,), (1.0,), (0.0,), False),  # one component has nothing to collapse
    ((16,), (14.0,), (2.4,), False),
    ((16,), (1.01,), (0.01,), True),
    ((16,), (14.0,), (0.01,), True),  # all used, none told apart
    ((512,), (60.0,), (4.0,), False),
    ((128,), (3.0,), (1.0,), True),
    ((2,), (1.29,), (0.25,), False),  # a rare property: 7 % glasses
    ((2, 64), (1.9, 1.0), (0.6, 0.0), True),
    ((), (), (0.0,), False),  # pre-training
  ],
)
def test_collapse_warning_names_the_remedy(
  num_components, perplexities, kl_rs, collapsed
):
  message = evaluation.collapse_warning(num_components, perplexities, kl_rs)
  assert (message is not None) == collapsed
  if message:
    assert "config.steps.pretrain" in message


def test_the_start_uses_the_training_set_not_the_labels(prepared):
  config = digits.get_config("k=10")
  exp = experiment.build(config, data_dir=prepared)
  config.dataset.labels = ((0, "label"),)
  labelled = experiment.build(config, data_dir=prepared)
  assert (labelled.train.labels >= 0).all()
  assert (exp.train.labels == -1).all()
  first, second = (named.with_prior(e).prior for e in (exp, labelled))
  np.testing.assert_array_equal(first.factors[0].m, second.factors[0].m)
  # No two components alike, all of the same weight: 1,500 points in all.
  assert len(np.unique(np.asarray(first.factors[0].m), axis=0)) == 10
  np.testing.assert_allclose(first.factors[0].c - 1, 150, rtol=1e-6)
