import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from .helpers import assert_finite, close, to_oracle

FACTORS = ((2, 3), (4, 5), (1, 2))
KEY = jax.random.key(0)


def encodings(num):
  rng = np.random.default_rng(0)
  loc = 3 + rng.normal(size=(num, 7)) * np.arange(1, 8)
  return loc.astype(np.float32), np.full((num, 7), -2.0, np.float32)


@pytest.mark.parametrize("from_data", [False, True])
def test_shapes_dtypes_and_domains(from_data):
  loc, log_var = encodings(20) if from_data else (None, None)
  state = prior.init(KEY, FACTORS, loc=loc, log_var=log_var)
  assert state.hyperprior == prior.Hyperprior()
  params = prior.mean_params(state)
  assert isinstance(params, tuple)
  for p, (d, k) in zip(params, FACTORS, strict=True):
    assert {x.shape for x in (p.m, p.s, p.a, p.b)} == {(k, d)}
    assert p.c.shape == (k,)
    assert all(np.all(x > 0) for x in (p.s, p.a, p.b, p.c))
  assert {x.dtype for x in jax.tree.leaves(state)} == {np.dtype(np.float32)}
  assert_finite(state)


@pytest.mark.parametrize("from_data", [False, True])
def test_no_two_components_start_alike(from_data):
  loc, log_var = encodings(20) if from_data else (None, None)
  for seed in range(5):
    state = prior.init(jax.random.key(seed), FACTORS, loc=loc, log_var=log_var)
    for p in prior.mean_params(state):
      assert len(np.unique(p.m, axis=0)) == len(p.m)


def test_fewer_points_than_components_are_refused():
  """Some components would have to start alike."""
  loc, log_var = encodings(3)
  with pytest.raises(ValueError, match="loc"):
    prior.init(KEY, ((7, 5),), loc=loc, log_var=log_var)


def test_means_are_k_means_centres():
  """Each is the mean of the points next to it, in units of the pooled sd."""
  rng = np.random.default_rng(3)
  centres = 1000 + 20 * rng.normal(size=(6, 7))
  loc = np.repeat(centres, 30, 0) + rng.normal(size=(180, 7))
  loc = loc.astype(np.float32)
  log_var = np.full_like(loc, -2.0)
  found = set()
  for seed in range(4):
    state = prior.init(
      jax.random.key(seed), ((7, 6),), loc=loc, log_var=log_var
    )
    m = np.asarray(state.factors[0].m)
    scale = np.sqrt(loc.var(0) + np.exp(-2.0))
    distance = (((loc[:, None] - m) / scale) ** 2).sum(-1)
    nearest = distance.argmin(1)
    means = np.stack([loc[nearest == k].mean(0) for k in range(6)])
    np.testing.assert_allclose(m, means, atol=1e-2)
    found.add(tuple(np.round(np.sort(m[:, 0]), 1)))
  assert len(found) > 1  # the key chooses where k-means starts


def test_a_centre_without_points_stays_where_it_is():
  loc = np.array([[0.0], [0.0], [0.0], [5.0]], np.float32)
  state = prior.init(KEY, ((1, 4),), loc=loc, log_var=np.zeros_like(loc))
  m = np.sort(np.asarray(state.factors[0].m)[:, 0])
  np.testing.assert_allclose(m, [0, 0, 0, 5], atol=1e-6)


def test_spread_is_that_of_the_data():
  loc, log_var = encodings(500)
  state = prior.init(KEY, FACTORS, loc=loc, log_var=log_var, num_data=50_000)
  expected = loc.var(axis=0) + np.exp(log_var).mean(axis=0)
  variances = np.concatenate(
    [(p.b / p.a).mean(axis=0) for p in to_oracle(state)]
  )
  np.testing.assert_allclose(variances, expected, rtol=0.05)


def test_means_without_data():
  state = prior.init(KEY, ((50, 80),))
  m = np.asarray(prior.mean_params(state)[0].m)
  np.testing.assert_allclose(m.std(), 0.1, rtol=0.05)
  assert abs(m.mean()) < 4 * 0.1 / np.sqrt(m.size)


@pytest.mark.parametrize("from_data", [False, True])
def test_num_data_is_shared_between_the_components(from_data):
  loc, log_var = encodings(20) if from_data else (None, None)
  hyper = prior.Hyperprior(s0=0.4, a0=1.3, b0=0.8, c0=1.6)
  state = prior.init(
    KEY, FACTORS, hyper, loc=loc, log_var=log_var, num_data=600
  )
  assert state.hyperprior == hyper
  for p, (_, k) in zip(to_oracle(state), FACTORS, strict=True):
    np.testing.assert_allclose(p.c, 1.6 + 600 / k, rtol=1e-5)
    np.testing.assert_allclose(p.s, 0.4 + 600 / k, rtol=1e-5)
    np.testing.assert_allclose(p.a, 1.3 + 300 / k, rtol=1e-5)


@pytest.mark.parametrize("from_data", [False, True])
def test_key_alone_decides(from_data):
  loc, log_var = encodings(20) if from_data else (None, None)
  one, same, other = (
    prior.init(jax.random.key(seed), FACTORS, loc=loc, log_var=log_var)
    for seed in (1, 1, 2)
  )
  close(one, same, 0)
  assert np.any(prior.mean_params(one)[1].m != prior.mean_params(other)[1].m)


def test_factors_of_equal_size_start_apart():
  first, second = prior.mean_params(prior.init(KEY, ((4, 5), (4, 5))))
  assert np.all(first.m != second.m)


def test_double_precision(x64):
  state = prior.init(KEY, FACTORS)
  assert {x.dtype for x in jax.tree.leaves(state)} == {np.dtype(np.float64)}


def test_jit_agrees():
  loc, log_var = encodings(20)
  compiled = jax.jit(
    lambda key, loc, log_var: prior.init(
      key, FACTORS, loc=loc, log_var=log_var, num_data=600
    )
  )
  eager = prior.init(KEY, FACTORS, loc=loc, log_var=log_var, num_data=600)
  close(compiled(KEY, loc, log_var), eager, 1e-5)


@pytest.mark.parametrize("from_data", [False, True])
@pytest.mark.parametrize("num_data", [600, np.float32(600)])
def test_num_data_may_be_traced(from_data, num_data):
  loc, log_var = map(jnp.asarray, encodings(20))
  data = {"loc": loc, "log_var": log_var} if from_data else {}

  def start(num_data):
    return prior.init(KEY, FACTORS, num_data=num_data, **data)

  close(jax.jit(start)(num_data), start(num_data), 1e-5)


def test_numpy_encodings_under_a_traced_key():
  loc, log_var = encodings(20)

  def start(key):
    return prior.init(key, FACTORS, loc=loc, log_var=log_var)

  close(jax.jit(start)(KEY), start(KEY), 1e-5)


def test_traced_num_data_does_not_decide_the_type(x64):
  loc, log_var = map(jnp.asarray, encodings(20))
  state = jax.eval_shape(
    lambda num_data: prior.init(
      KEY, FACTORS, loc=loc, log_var=log_var, num_data=num_data
    ),
    np.float64(600),
  )
  assert {x.dtype for x in jax.tree.leaves(state)} == {np.dtype(np.float32)}
