"""The prior alone as a density: `fit`, exact points, units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import fmvae.prior as prior

from .helpers import HYPER, assert_finite, close, make_state, problem

KEY = jax.random.key(0)
K, D, NUM = 16, 4, 40_000
SHIFT, SCALE = 1000.0, 0.001

log_prob = jax.jit(prior.log_prob)


class Separated:
  """Clusters far apart, and their true log density."""

  def __init__(self):
    self.rng = np.random.default_rng(0)
    self.means = 10 * self.rng.normal(size=(K, D))
    self.weights = self.rng.dirichlet(np.full(K, 5.0))

  def draw(self, num):
    k = self.rng.choice(K, num, p=self.weights)
    return self.means[k] + self.rng.normal(size=(num, D)), k

  def log_prob(self, x):
    squares = ((x[:, None] - self.means) ** 2).sum(-1)
    logits = np.log(self.weights) - 0.5 * squares
    return special.logsumexp(logits, -1) - 0.5 * D * np.log(2 * np.pi)


@pytest.fixture(scope="module")
def data():
  truth = Separated()
  points, _ = truth.draw(NUM)
  held_out, k = truth.draw(5000)
  return points, held_out, k, truth.log_prob(held_out).mean()


@pytest.fixture(scope="module")
def fitted(data):
  return prior.fit(KEY, data[0], [(D, K)])


def batches(points, size=2000):
  for start in range(0, len(points), size):
    yield points[start : start + size]


def test_separated_clusters_are_all_found(data, fitted):
  _, held_out, k, truth = data
  found = float(log_prob(fitted.state, held_out).mean())
  np.testing.assert_allclose(found, truth, atol=0.01)
  codes = np.asarray(prior.codes(fitted.state, held_out)[:, 0])
  assert len({(a, b) for a, b in zip(codes, k, strict=True)}) < 1.5 * K
  assert fitted.converged
  steps, bounds = zip(*fitted.trace, strict=True)
  assert steps[0] == 0
  assert np.all(np.diff(steps) > 0)
  np.testing.assert_allclose(bounds[-1], truth, atol=0.1)


def test_batches_of_an_iterator_do_as_well(data):
  points, held_out, _, truth = data
  for given in (batches(points), list(batches(points))):
    fitted = prior.fit(KEY, given, [(D, K)], num_data=NUM, max_steps=30)
    found = float(log_prob(fitted.state, held_out).mean())
    np.testing.assert_allclose(found, truth, atol=0.02)
  # The iterator ends after the first 20,000 points and ten steps; a list begins
  # again.
  assert fitted.trace[-1][0] > 10


def test_any_units(data, fitted):
  points, held_out, _, _ = data
  expected = log_prob(fitted.state, held_out)
  shifted = prior.fit(KEY, points + SHIFT, [(D, K)]).state
  actual = log_prob(shifted, held_out + SHIFT)
  np.testing.assert_allclose(actual.mean(), expected.mean(), atol=2e-3)
  scaled = prior.fit(KEY, SCALE * points, [(D, K)]).state
  actual = log_prob(scaled, SCALE * held_out) + D * np.log(SCALE)
  np.testing.assert_allclose(actual.mean(), expected.mean(), atol=2e-3)
  z, _ = prior.sample(KEY, scaled, 2000)
  np.testing.assert_allclose(z.std(0), SCALE * points.std(0), rtol=0.1)


def test_one_batch_is_coordinate_ascent(data):
  points, factors = data[0][:1500], [(2, 3), (2, 5)]
  one, same = (
    prior.fit(jax.random.key(3), points, factors, max_steps=25)
    for _ in range(2)
  )
  assert one.state == same.state
  assert one.trace == same.trace
  assert np.all(np.diff([bound for _, bound in one.trace]) > -1e-4)
  other = prior.fit(jax.random.key(4), points, factors, max_steps=1)
  assert other.state != one.state
  assert not other.converged
  # A repetition does not count: 1,500 points are computed with as 2,048.
  for f, (_, k) in zip(one.state.factors, factors, strict=True):
    np.testing.assert_allclose(f.c.sum(), 1500 + k, rtol=1e-5)


def test_units_take_prior_and_posterior_alike(x64):
  """The same costs, logits and update, but for the change of variables."""
  factors, loc, log_var, _ = problem()
  plain = make_state(factors, HYPER)
  rng = np.random.default_rng(1)
  shift, scale = rng.normal(size=7), np.exp(rng.normal(size=7))
  moved, offset = [], 0
  for f in plain.factors:
    d = f.m.shape[-1]
    t, s = shift[offset : offset + d], scale[offset : offset + d]
    t, s = t[None], s[None]
    moved.append(prior.MeanParams(t + s * f.m, f.s, f.a, s**2 * f.b, f.c))
    offset += d
  units = prior.Units(jnp.asarray(shift), jnp.asarray(scale))
  state = prior.from_mean_params(moved, plain.hyperprior, units)

  @jax.jit
  def everything(state, z, log_var):
    resp = prior.responsibilities(state, z, log_var)
    after = prior.svi_update(state, z, log_var, num_data=100, step_size=0.3)
    return (
      [prior.kl_global(state), prior.kl_global(after), resp],
      prior.kl_z(state, z, log_var, resp),
      prior.log_prob(state, z),
    )

  z, log_var_z = shift + scale * loc, log_var + 2 * np.log(scale)
  *costs, log_density = everything(state, z, log_var_z)
  *expected, density = everything(plain, loc, log_var)
  close(costs, expected, 1e-9)
  close(log_density + np.log(scale).sum(), density)


def test_exact_points():
  """The limit of small variances, in closed form."""
  factors, loc, _, _ = problem()
  state = make_state(factors, HYPER, jnp.float32)
  loc = loc.astype(np.float32)
  none = np.full_like(loc, -np.inf)
  how = {"num_data": 100, "step_size": 0.3}
  resp = prior.responsibilities(state, loc)
  close(resp, prior.responsibilities(state, loc, np.full_like(loc, -60)), 1e-6)
  close(resp, prior.responsibilities(state, loc, none), 0)
  update = prior.svi_update(state, loc, **how)
  close(update, prior.svi_update(state, loc, none, **how), 0)
  close(prior.codes(state, loc), prior.codes(state, loc, none), 0)
  bound = -(prior.kl_z(state, loc, None, resp) + prior.kl_r(state, resp))
  logits = prior.component_logits(state, loc)
  for i, each in enumerate(logits):
    np.testing.assert_allclose(
      bound[:, i], jax.nn.logsumexp(each, -1), rtol=1e-4
    )
  assert np.all(np.isposinf(prior.kl_z(state, loc, none, resp)))
  assert_finite(prior.init(KEY, [(7, 2)], loc=loc))
  with pytest.raises(ValueError, match="log_var must come with loc"):
    prior.init(KEY, [(7, 2)], log_var=loc)


@pytest.mark.parametrize(
  ("points", "more", "message"),
  [
    (np.zeros((9, 3)), {}, r"points must be \[N, 2\]"),
    (np.zeros((0, 2)), {}, "at least 1"),
    (np.eye(2), {}, "at least as many as the components, 3"),
    (np.full((9, 2), np.nan), {}, "points must be finite"),
    ([np.ones((9, 2))], {}, "num_data must be given"),
    ([], {"num_data": 9}, "at least one batch"),
    (np.eye(9, 2), {"batch_size": 0}, "batch_size must be at least 1"),
    (np.eye(9, 2), {"max_steps": 0}, "max_steps must be at least 1"),
    (np.eye(9, 2), {"tol": np.nan}, "tol must be at least 0"),
    (np.eye(9, 2), {"num_data": -1}, "num_data must be positive"),
    (np.eye(9, 2) + 1e7, {}, r"points\[:, 0\] .* subtract its mean"),
    (1e-30 * np.eye(9, 2), {}, r"points\[:, 0\] .* scale it first"),
  ],
)
def test_mistakes(points, more, message):
  with pytest.raises(ValueError, match=message):
    prior.fit(KEY, points, [(2, 3)], **more)


def test_constant_features_and_few_points():
  points = np.stack([np.full(5, 3e7), np.arange(5)], -1)
  state = prior.fit(KEY, points, [(2, 5)]).state
  assert_finite((state, prior.log_prob(state, points.astype(np.float32))))
