"""`FactorialMixture` is an estimator by scikit-learn's own checks."""

import jax
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from fmvae import prior
from fmvae.estimator import FactorialMixture


def points(num=600, shift=0.0):
  """Two pairs of features, each in clusters of its own."""
  rng = np.random.default_rng(0)
  left, right = rng.integers(0, 3, num), rng.integers(0, 2, num)
  centres = np.stack([9 * left, -9 * left, 9 * right, 9 * right], -1)
  return centres + rng.normal(size=(num, 4)) + shift, left, right


@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_s_own_checks():
  results = check_estimator(FactorialMixture(3), on_fail=None)
  failed = [r for r in results if r["status"] not in ("passed", "skipped")]
  assert not failed, failed
  assert sum(r["status"] == "passed" for r in results) > 30


def test_several_factors():
  x, left, right = points()
  mixture = FactorialMixture(factors=[(2, 3), (2, 2)], random_state=0).fit(x)
  codes = mixture.predict(x)
  assert codes.shape == (600, 2)
  for code, true in zip(codes.T, (left, right), strict=True):
    assert len(set(zip(code, true, strict=True))) == len(set(true))
  gammas = mixture.predict_proba(x)
  assert [g.shape for g in gammas] == [(600, 3), (600, 2)]
  z, k = mixture.sample(50)
  assert z.shape == (50, 4)
  np.testing.assert_array_equal(mixture.predict(z), k)
  assert mixture.n_iter_ > 0
  assert mixture.lower_bounds_[-1] == mixture.lower_bound_
  with jax.enable_x64(True):
    expected = prior.log_prob(mixture.state_, x)
  np.testing.assert_allclose(mixture.score_samples(x), expected)
  # In double precision no shift is too large.
  far = FactorialMixture(factors=[(2, 3), (2, 2)], random_state=0)
  moved = x + 1e8
  np.testing.assert_allclose(
    far.fit(moved).score(moved), mixture.score(x), atol=1e-4
  )


def test_a_stream():
  x, left, _ = points(4000)
  mixture = FactorialMixture(3, random_state=0)
  for part in np.split(x[:, :2], 10):
    mixture.partial_fit(part)
  assert mixture.n_samples_seen_ == 4000
  assert len(set(zip(mixture.predict(x[:, :2]), left, strict=True))) == 3
  whole = FactorialMixture(3, random_state=0).fit(x[:, :2])
  assert abs(whole.score(x[:, :2]) - mixture.score(x[:, :2])) < 0.01
  total = mixture.state_.factors[0].c.sum()
  assert 2000 < total < 4010  # what came before counts the less


def test_mistakes():
  x, _, _ = points()
  with pytest.raises(ValueError, match="factors must have 4 features"):
    FactorialMixture(factors=[(2, 3)]).fit(x)
  with pytest.raises(ValueError, match="n_components must stay 1"):
    FactorialMixture(2, factors=[(2, 3), (2, 2)]).fit(x)
  with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
    FactorialMixture(2, max_iter=1).fit(x)
