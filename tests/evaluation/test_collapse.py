"""Perplexity, the diagnosis of a collapse, and the start that avoids it."""

import dataclasses

import numpy as np
import pytest

from experiments import digits
from fmvae import evaluation, experiment
from fmvae.evaluation import diagnose, perplexity
from fmvae.model import model_at
from fmvae.model.priors import GaussianMixture
from tests import named

N, D = 600, 3
RNG = np.random.default_rng(0)


def test_perplexity_counts_components_in_effect():
  assert perplexity(np.array([1.0, 0.0, 0.0])) == 1
  assert perplexity(np.full(7, 1 / 7)) == pytest.approx(7)
  assert perplexity(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


def of(codes, k, blur=0.0):
  """Responsibilities `[N, K]`: that component, less a blur over all."""
  return (1 - blur) * np.eye(k)[codes] + blur / k


def components(k, spread=10.0):
  """K of them, apart: means and log variances `[K, D]`."""
  return spread * RNG.normal(size=(k, D)), RNG.normal(size=(k, D))


def healthy():
  """Two factors that tell different things, in dimensions that all live."""
  codes = [RNG.integers(0, k, N) for k in (4, 5)]
  return {
    "resp": [of(c, k) for c, k in zip(codes, (4, 5), strict=True)],
    "pruned": [np.zeros(4, bool), np.zeros(5, bool)],
    "components": [components(4), components(5)],
    "loc": RNG.normal(size=(N, 2 * D)),
    "log_var": np.full((N, 2 * D), -3.0),
  }


def test_nothing_is_said_of_what_is_used():
  found = diagnose(**healthy())
  assert str(found) == ""
  assert found.warning() is None
  assert found.apart == pytest.approx((4, 5), rel=0.02)
  assert found.used == found.num_components == (4, 5)
  assert found.coinciding == (0, 0)
  assert found.same == found.dead == found.collapsed == ()
  plain = diagnose([], [], [], RNG.normal(size=(N, 2)), np.full((N, 2), -1.0))
  assert str(plain) == ""
  assert plain.num_components == ()


@pytest.mark.parametrize(
  ("k", "codes", "blur", "collapsed"),
  [
    (1, 1, 0.0, False),  # one component has nothing to collapse
    (16, 14, 0.0, False),
    (16, 1, 0.0, True),
    (16, 14, 0.99, True),  # all used, none told apart
    (256, 60, 0.0, False),
    (128, 3, 0.0, True),
  ],
)
def test_components_that_are_not_told_apart(k, codes, blur, collapsed):
  case = healthy()
  case["resp"][0] = of(RNG.integers(0, codes, N), k, blur)
  case["pruned"][0], case["components"][0] = np.zeros(k, bool), components(k)
  found = diagnose(**case)
  assert found.collapsed == ((0,) if collapsed else ())
  assert (f"of {k} components apart" in str(found)) == collapsed
  message = found.warning()
  assert (message is not None) == collapsed
  if message:
    assert "config.steps.pretrain" in message


def test_a_rare_property_is_no_collapse():
  case = healthy()
  case["resp"][0] = of((RNG.random(N) < 0.07).astype(int), 2)
  case["pruned"][0], case["components"][0] = np.zeros(2, bool), components(2)
  assert diagnose(**case).collapsed == ()


def test_components_that_coincide():
  case = healthy()
  loc, log_var = components(6)
  loc[3], log_var[3] = loc[0] + 0.01, log_var[0]
  loc[5], log_var[5] = loc[0], log_var[0] - 0.01
  loc[4] = loc[1]  # but another variance
  log_var[4] = log_var[1] + 3
  case["resp"][0] = of(RNG.integers(0, 6, N), 6)
  for pruned, num in (([], 2), ([5], 1), ([0], 1), ([0, 5], 0)):
    case["components"][0] = loc, log_var
    case["pruned"][0] = np.isin(np.arange(6), pruned)
    found = diagnose(**case)
    assert found.coinciding == (num, 0)
    wanted = f"factor 0 has {num} of {6 - len(pruned)} used components"
    assert (wanted in str(found)) == (num > 0)


def test_factors_that_tell_the_same():
  case = healthy()
  shuffled = RNG.permutation(5)[np.argmax(case["resp"][1], -1)]
  case["resp"].append(of(shuffled, 5))
  case["pruned"].append(case["pruned"][1])
  case["components"].append(case["components"][1])
  found = diagnose(**case)
  ((i, j, nmi),) = found.same
  assert (i, j, round(nmi, 6)) == (1, 2, 1)
  assert "factors 1 and 2 tell the same (NMI 1.00)" in str(found)
  # Two that say nothing have nothing in common.
  case["resp"][1:] = [of(np.zeros(N, int), 5)] * 2
  assert diagnose(**case).same == ()


def test_dimensions_that_are_dead():
  case = healthy()
  case["loc"][:, 4], case["log_var"][:, 4] = 0.3, 0.1
  case["loc"][:, 1] *= 0.05  # of a spread that is hidden in the noise
  case["log_var"][:, 1] = 0
  found = diagnose(**case)
  assert found.dead == (1, 4)
  assert "2 of 6 dimensions say nothing of x" in str(found)


def test_a_model_is_examined_as_its_prior_is(prepared):
  config = digits.get_config("k=10")
  exp = experiment.build(config, data_dir=prepared)
  state = named.with_prior(exp)
  (factor,) = state.prior.factors
  wide = dataclasses.replace(factor, m=100 * factor.m)
  wide = dataclasses.replace(state.prior, factors=(wide,))
  found = evaluation.examine(exp.model, state.replace(prior=wide), exp.test)
  assert found.num_components == (10,)
  assert found.coinciding == (0,)
  # A mixture with point estimates whose components all are the first one.
  points = GaussianMixture(exp.model.prior.factors)
  params, _ = points.init_from(
    state.key,
    exp.model.variables_of(state),
    *moments(exp, state),
    len(exp.train),
  )
  for name, values in params["0"].items():
    params["0"][name] = values.at[:].set(values[0])
  of_points = exp.model.replace(prior=points)
  one = state.replace(params={**state.params, "prior": params}, prior=None)
  found = evaluation.examine(of_points, one, exp.test)
  assert found.coinciding == (9,)
  assert found.collapsed == (0,)
  plain = model_at(exp.model, exp.phases, 0)
  assert evaluation.examine(plain, state, exp.test).num_components == ()


def moments(exp, state):
  images = exp.train.images[:50]
  return exp.model.encode(state, images, state.key, training=False)


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
