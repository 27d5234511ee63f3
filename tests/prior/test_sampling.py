import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import fmvae.prior as prior

from . import oracle
from .helpers import HYPER, SIZES, close, log_prob, make_state, problem, sample

KEY = jax.random.key(7)
NUM = 40_000
GIVEN = 2


@functools.cache
def draws(key=7):
  """Draws from live components of 4 to 10 degrees of freedom.

  Factor 0 is given in the first half of the rows, factor 1 nowhere;
  one compilation serves every test, since that of the gamma sampler is slow.
  """
  factors = [p._replace(a=0.1 * p.a + 2) for p in problem()[0][:2]]
  state = make_state(factors, HYPER, jnp.float32)
  given = np.full((NUM, 2), -1)
  given[: NUM // 2, 0] = GIVEN
  z, components = sample(
    jax.random.key(key), state, shape=(NUM,), components=jnp.asarray(given)
  )
  return factors, np.asarray(z, np.float64), np.asarray(components)


@functools.partial(jax.jit, static_argnames="shape")
def sample_components(key, state, shape, components=None):
  """The discrete half alone, quick to compile."""
  return prior.sample(key, state, shape=shape, components=components)[1]


def small_state():
  return make_state(problem()[0], HYPER, jnp.float32)


class TestLogProb:
  def test_against_mixture_of_student_t(self, x64):
    factors = problem()[0]
    rng = np.random.default_rng(0)
    z = 3 * rng.normal(size=(9, 7))
    actual = log_prob(make_state(factors, HYPER), z)
    close(actual, oracle.log_prob(factors, z))

  def test_far_from_every_component(self, x64):
    factors = problem()[0]
    z = np.full((1, 7), 1e6)
    actual = log_prob(make_state(factors, HYPER), z)
    close(actual, oracle.log_prob(factors, z))

  def test_points_of_double_precision_under_a_state_of_single(self, x64):
    factors = problem()[0]
    z = 3 * np.random.default_rng(0).normal(size=(9, 7))
    actual = log_prob(make_state(factors, dtype=jnp.float32), z)
    assert actual.dtype == jnp.float64
    close(actual, oracle.log_prob(factors, z), 1e-4)

  def test_integrates_to_one(self, x64):
    factors = problem(0, ((1, 3),))[0]
    z = np.sinh(np.linspace(-30, 30, 20_001))
    density = np.exp(log_prob(make_state(factors), z[:, None]))
    np.testing.assert_allclose(np.trapezoid(density, z), 1, rtol=1e-4)


class TestSample:
  @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
  def test_shapes_and_dtypes(self, shape):
    z, components = jax.eval_shape(
      functools.partial(prior.sample, shape=shape), KEY, small_state()
    )
    assert z.shape == (*shape, 7)
    assert z.dtype == jnp.float32
    assert components.shape == (*shape, 3)
    assert jnp.issubdtype(components.dtype, jnp.integer)

  def test_key_alone_decides(self):
    first, other = draws()[1], draws(8)[1]
    draws.cache_clear()
    np.testing.assert_array_equal(first, draws()[1])
    assert np.mean(first != other) > 0.99

  def test_frequencies_are_the_expected_shares(self):
    factors = problem()[0]
    components = sample_components(KEY, small_state(), (NUM,))
    for i, p in enumerate(factors):
      observed = np.bincount(components[:, i], minlength=len(p.c))
      assert len(observed) == len(p.c)
      expected = NUM * p.c / p.c.sum()
      assert stats.chisquare(observed, expected).pvalue > 1e-3

  def test_components_of_two_factors_are_independent(self):
    components = np.asarray(sample_components(KEY, small_state(), (NUM,)))
    table = np.zeros((SIZES[0][1], SIZES[1][1]))
    np.add.at(table, (components[:, 0], components[:, 1]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3

  def test_given_components_are_returned_and_the_others_drawn(self):
    factors, _, components = draws()
    half = NUM // 2
    assert np.all(components[:half, 0] == GIVEN)
    for i, rows in ((0, slice(half, None)), (1, slice(None))):
      share = factors[i].c / factors[i].c.sum()
      observed = np.bincount(components[rows, i], minlength=len(share))
      expected = observed.sum() * share
      assert stats.chisquare(observed, expected).pvalue > 1e-3

  def test_draws_follow_the_student_t_of_their_component(self):
    factors, z, components = draws()
    blocks = oracle.split(z, factors)
    for i, (p, block) in enumerate(zip(factors, blocks, strict=True)):
      df, loc, scale = oracle.student_t(p)
      for k in np.unique(components[:, i]):
        for d in range(p.m.shape[1]):
          dist = stats.t(df[k, d], loc[k, d], scale[k, d])
          x = block[components[:, i] == k, d]
          assert stats.kstest(x, dist.cdf).pvalue > 1e-4

  def test_dimensions_of_a_component_are_independent(self):
    """Each dimension has its own alpha: no heavy tails in common."""
    factors, z, components = draws()
    most = np.bincount(components[:, 1]).argmax()
    rows = (components[:, 0] == GIVEN) & (components[:, 1] == most)
    centre = np.concatenate([factors[0].m[GIVEN], factors[1].m[most]])
    deviation = z[rows] - centre
    assert len(deviation) > 5000
    for x in (deviation, np.abs(deviation)):
      correlation = stats.spearmanr(x).statistic
      off_diagonal = correlation[~np.eye(6, dtype=bool)]
      assert np.max(np.abs(off_diagonal)) < 4.5 / np.sqrt(len(x))

  def test_given_components_broadcast(self):
    given = np.array([[[0, -1, 1]], [[2, -1, 0]]])
    components = sample_components(
      KEY, small_state(), (2, 5), jnp.asarray(given)
    )
    assert components.shape == (2, 5, 3)
    expected = np.broadcast_to(given, (2, 5, 3))
    for i in (0, 2):
      np.testing.assert_array_equal(components[..., i], expected[..., i])
    assert len(np.unique(components[..., 1])) > 1
    assert np.all(components >= 0)

  def test_one_list_of_components_for_every_draw(self):
    components = sample_components(
      KEY, small_state(), (4,), jnp.array([2, 0, 1])
    )
    np.testing.assert_array_equal(components, np.tile([2, 0, 1], (4, 1)))


class TestUsage:
  def test_shares_and_pruned_components(self):
    factors = list(problem()[0])
    c = np.array([1.6, 2.59, 2.61, 0.9, 400.0])
    factors[1] = factors[1]._replace(c=c)
    records = prior.usage(make_state(factors, HYPER, jnp.float32))
    assert isinstance(records, tuple)
    for record, p in zip(records, factors, strict=True):
      close(record.share, p.c / p.c.sum(), 1e-6)
    pruned = np.asarray(records[1].pruned)
    assert pruned.dtype == bool
    assert pruned.tolist() == [True, True, False, True, False]
