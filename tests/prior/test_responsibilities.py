import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import fmvae.prior as prior

from . import oracle
from .helpers import (
  HYPER,
  close,
  codes,
  component_logits,
  kl_r,
  kl_z,
  label_log_prob,
  make_state,
  problem,
  responsibilities,
)

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def case():
  factors, loc, log_var, labels = problem()
  return factors, make_state(factors, HYPER), loc, log_var, labels


class TestOracle:
  def test_component_logits(self, case):
    factors, state, loc, log_var, _ = case
    actual = component_logits(state, loc, log_var)
    assert isinstance(actual, tuple)
    close(list(actual), oracle.component_logits(factors, loc, log_var))

  def test_responsibilities(self, case):
    factors, state, loc, log_var, _ = case
    actual = responsibilities(state, loc, log_var)
    assert isinstance(actual, tuple)
    close(list(actual), oracle.responsibilities(factors, loc, log_var))
    # Not a test on rows that are all one-hot.
    assert max(np.max(np.min(r, axis=-1)) for r in actual) > 1e-3

  def test_labels_clamp_each_factor_of_each_point(self, case):
    factors, state, loc, log_var, labels = case
    assert all({-1, 0} < set(labels[:, i]) for i in range(2))
    actual = responsibilities(state, loc, log_var, labels)
    expected = oracle.responsibilities(factors, loc, log_var, labels)
    close(list(actual), expected)
    for i, r in enumerate(actual):
      labelled = labels[:, i] >= 0
      one_hot = np.eye(r.shape[-1])[labels[labelled, i]]
      np.testing.assert_array_equal(np.asarray(r)[labelled], one_hot)

  def test_kl_z(self, case):
    factors, state, loc, log_var, _ = case
    resp = oracle.responsibilities(factors, loc, log_var)
    actual = kl_z(state, loc, log_var, tuple(resp))
    close(actual, oracle.kl_z(factors, loc, log_var, resp))

  def test_kl_z_for_any_responsibilities(self, case):
    factors, state, loc, log_var, _ = case
    rng = np.random.default_rng(5)
    resp = [rng.dirichlet(np.ones(len(p.c)), len(loc)) for p in factors]
    actual = kl_z(state, loc, log_var, tuple(resp))
    close(actual, oracle.kl_z(factors, loc, log_var, resp))

  def test_kl_r(self, case):
    factors, state, loc, log_var, labels = case
    for y in (None, labels):
      resp = oracle.responsibilities(factors, loc, log_var, y)
      close(kl_r(state, tuple(resp)), oracle.kl_r(factors, resp))

  def test_codes_are_the_most_responsible_components(self, case):
    factors, state, loc, log_var, _ = case
    actual = codes(state, loc, log_var)
    assert np.issubdtype(actual.dtype, np.integer)
    resp = oracle.responsibilities(factors, loc, log_var)
    expected = np.stack([r.argmax(axis=-1) for r in resp], axis=-1)
    np.testing.assert_array_equal(actual, expected)

  def test_label_log_prob_is_not_clamped(self, case):
    factors, state, loc, log_var, labels = case
    actual = label_log_prob(state, loc, log_var, labels)
    resp = oracle.responsibilities(factors, loc, log_var)
    expected = np.stack(
      [
        np.log(np.take_along_axis(r, labels[:, i, None], axis=-1)[:, 0])
        for i, r in enumerate(resp)
      ],
      axis=-1,
    )
    close(actual, np.where(labels >= 0, expected, 0.0))
    assert np.all(actual[labels < 0] == 0)
    assert np.all(actual[labels >= 0] < 0)


class TestEnumeration:
  """Every assignment r of two factors, weighted by q(r)."""

  factors = tuple(problem(1, ((2, 2), (1, 3)), 4)[0])
  loc, log_var = problem(1, ((2, 2), (1, 3)), 4)[1:3]

  def terms(self):
    """(r, log E-likelihood of r) of the first data point."""
    logits = oracle.component_logits(self.factors, self.loc, self.log_var)
    for r in itertools.product(range(2), range(3)):
      yield r, sum(x[0, k] for x, k in zip(logits, r, strict=True))

  def entropy(self):
    return 0.5 * np.sum(np.log(2 * np.pi * np.e) + self.log_var[0])

  def local_bound(self, resp):
    """E_q [log p(z, r | xi) - log q(z) - log q(r)], summed over r."""
    total = self.entropy()
    for r, log_joint in self.terms():
      weight = np.prod([g[0, k] for g, k in zip(resp, r, strict=True)])
      total += weight * (log_joint - np.log(weight))
    return total

  def test_divergences_for_any_responsibilities(self):
    rng = np.random.default_rng(2)
    resp = tuple(rng.dirichlet(np.ones(k), 4) for k in (2, 3))
    state = make_state(self.factors, HYPER)
    total = kl_z(state, self.loc, self.log_var, resp) + kl_r(state, resp)
    close(-np.sum(total[0]), self.local_bound(resp), 1e-11)

  def test_optimal_responsibilities_reach_log_sum_exp(self):
    state = make_state(self.factors, HYPER)
    resp = responsibilities(state, self.loc, self.log_var)
    total = kl_z(state, self.loc, self.log_var, resp) + kl_r(state, resp)
    terms = [log_joint for _, log_joint in self.terms()]
    expected = special.logsumexp(terms) + self.entropy()
    close(-np.sum(total[0]), expected, 1e-11)

  def test_optimal_responsibilities_are_optimal(self):
    state = make_state(self.factors, HYPER)

    def cost(logits):
      resp = tuple(jax.nn.softmax(x) for x in logits)
      total = prior.kl_z(state, self.loc, self.log_var, resp)
      return jnp.sum(total + prior.kl_r(state, resp))

    logits = component_logits(state, self.loc, self.log_var)
    gradient = jax.jit(jax.grad(cost))(logits)
    close(gradient, jax.tree.map(np.zeros_like, logits), 1e-12)


def test_kl_z_against_monte_carlo():
  """The average of KL(q(z) || N(mu, 1 / alpha)) over q(mu, alpha)."""
  factors, loc, log_var, _ = problem(2, ((3, 2),), 3)
  p = factors[0]._replace(a=factors[0].a + 2)
  resp = np.array([[0.3, 0.7]] * 3)
  rng, num = np.random.default_rng(0), 100_000
  alpha = rng.gamma(p.a, 1 / p.b, (num, 2, 3))
  mu = p.m + rng.normal(size=alpha.shape) / np.sqrt(p.s * alpha)
  u, v = loc[0], np.exp(log_var[0])
  divergence = 0.5 * (alpha * (v + (u - mu) ** 2) - np.log(alpha * v) - 1)
  draws = divergence.sum(axis=-1) @ resp[0]
  error = draws.std() / np.sqrt(num)
  actual = kl_z(make_state([p], HYPER), loc, log_var, (resp,))[0, 0]
  assert error < 0.02 * actual
  assert abs(actual - draws.mean()) < 4 * error


class TestCollapse:
  def test_one_component_takes_every_point(self):
    factors, loc, log_var, _ = problem(3, ((3, 1),), 5)
    state = make_state(factors, HYPER)
    resp = responsibilities(state, loc, log_var)
    np.testing.assert_array_equal(resp[0], np.ones((5, 1)))
    close(kl_r(state, resp), np.zeros((5, 1)), 0)
    assert not np.any(codes(state, loc, log_var))

  def test_one_certain_standard_component_is_the_plain_vae(self):
    """With alpha = 1 and mu = 0 for sure, kl_z is that of N(0, I)."""
    _, loc, log_var, _ = problem(3, ((3, 1),), 5)
    one = np.ones((1, 3))
    p = oracle.Params(0 * one, 1e12 * one, 1e12 * one, 1e12 * one, one[:, 0])
    state = make_state([p])
    actual = kl_z(state, loc, log_var, (np.ones((5, 1)),))[:, 0]
    expected = 0.5 * np.sum(np.exp(log_var) + loc**2 - 1 - log_var, axis=-1)
    close(actual, expected, 1e-9)

  def test_factors_are_independent_blocks(self, case):
    factors, state, loc, log_var, labels = case
    together = responsibilities(state, loc, log_var, labels)
    divergences = kl_z(state, loc, log_var, together)
    locs = oracle.split(loc, factors)
    log_vars = oracle.split(log_var, factors)
    for i, p in enumerate(factors):
      alone = make_state([p], HYPER)
      block = (locs[i], log_vars[i])
      resp = responsibilities(alone, *block, labels[:, i : i + 1])
      close(resp[0], together[i], 1e-13)
      close(kl_z(alone, *block, resp)[:, 0], divergences[:, i], 1e-12)

  def test_moving_one_block_leaves_the_other_factors(self, case):
    _, state, loc, log_var, _ = case
    moved = loc.copy()
    moved[:, :2] += 1.0
    before = responsibilities(state, loc, log_var)
    after = responsibilities(state, moved, log_var)
    assert np.max(np.abs(before[0] - after[0])) > 0.01
    close(before[1:], after[1:], 0)
