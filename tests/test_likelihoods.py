import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from fmvae import likelihoods

BERNOULLI = likelihoods.get("bernoulli")
GAUSSIAN = likelihoods.get("gaussian")
FREE = likelihoods.get("free_gaussian")
COUNTS = likelihoods.get("negative_binomial")


def test_bernoulli_matches_scipy():
  rng = np.random.default_rng(0)
  raw = rng.normal(scale=5, size=(3, 2, 4, 5, 1))
  x = rng.integers(2, size=(2, 4, 5, 1)).astype(float)
  p = scipy.special.expit(raw)
  expected = scipy.stats.bernoulli(p).logpmf(x).sum((-3, -2, -1))
  with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
    actual = BERNOULLI.log_prob(jnp.asarray(raw), jnp.asarray(x))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    moments = scipy.stats.bernoulli(p).stats("mv")
    np.testing.assert_allclose(BERNOULLI.mean(jnp.asarray(raw)), moments[0])
    np.testing.assert_allclose(BERNOULLI.std(jnp.asarray(raw)) ** 2, moments[1])


def test_gaussian_matches_scipy():
  rng = np.random.default_rng(0)
  raw = rng.normal(scale=3, size=(3, 2, 4, 5, 6))
  x = rng.uniform(-1, 1, size=(2, 4, 5, 3))
  mean = raw[..., :3]
  std = 0.001 + 0.399 * scipy.special.expit(raw[..., 3:])
  expected = scipy.stats.norm(mean, std).logpdf(x).sum((-3, -2, -1))
  with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
    actual = GAUSSIAN.log_prob(jnp.asarray(raw), jnp.asarray(x))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    np.testing.assert_array_equal(GAUSSIAN.mean(jnp.asarray(raw)), mean)
    np.testing.assert_allclose(GAUSSIAN.std(jnp.asarray(raw)), std, rtol=1e-12)


def test_free_gaussian_matches_scipy():
  rng = np.random.default_rng(0)
  raw = rng.normal(scale=3, size=(2, 1, 1, 6))
  x = rng.normal(scale=5, size=(2, 1, 1, 3))
  std = 0.01 + np.logaddexp(0, raw[..., 3:])
  expected = scipy.stats.norm(raw[..., :3], std).logpdf(x).sum((-3, -2, -1))
  with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
    actual = FREE.log_prob(jnp.asarray(raw), jnp.asarray(x))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_negative_binomial_matches_scipy():
  rng = np.random.default_rng(0)
  log_m, log_r = rng.normal(scale=2, size=(2, 40, 1, 1, 3))
  log_r[:10] += 8  # close to Poisson
  x = rng.integers(0, 200, size=(40, 1, 1, 3))
  m, r = np.exp(log_m), np.exp(log_r)
  expected = scipy.stats.nbinom(r, r / (m + r))
  raw = np.concatenate([log_m, log_r], -1)
  value = expected.logpmf(x).sum((-3, -2, -1))
  np.testing.assert_allclose(
    COUNTS.log_prob(jnp.float32(raw), jnp.float32(x)), value, rtol=3e-5
  )
  np.testing.assert_allclose(COUNTS.mean(jnp.float32(raw)), m, rtol=1e-5)
  np.testing.assert_allclose(
    COUNTS.std(jnp.float32(raw)), expected.std(), rtol=1e-5
  )


@pytest.mark.parametrize("likelihood", [FREE, COUNTS])
def test_numbers_without_bounds_stay_finite(likelihood):
  raw = jnp.array([0.0, 1.0, 1e4, -1e4, 1e4, -1e4]).reshape(1, 1, 6)
  raw = jnp.concatenate([raw, -raw, raw[..., ::-1]], 0)
  x = jnp.array([0.0, 1.0, 7.0]).reshape(1, 1, 3)
  x = jnp.concatenate([x, 1e3 * x, x[..., ::-1]], 0)
  value, grad = jax.value_and_grad(likelihood.log_prob)(raw, x)
  assert np.isfinite(value)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_bernoulli_stays_finite(size):
  raw = jnp.array([size, -size, size, -size, 0.0]).reshape(1, 5, 1)
  x = jnp.array([1.0, 0.0, 0.0, 1.0, 1.0]).reshape(1, 5, 1)
  value, grad = jax.value_and_grad(BERNOULLI.log_prob)(raw, x)
  np.testing.assert_allclose(value, -2 * size - np.log(2), rtol=1e-6)
  np.testing.assert_allclose(grad.ravel(), [0, 0, -1, 1, 0.5], atol=1e-7)
  # Where the prediction is right the cost is nothing, not a rounding error.
  assert BERNOULLI.log_prob(raw[:, :2], x[:, :2]) == 0


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_gaussian_stays_finite(size):
  raw = jnp.array([0.5, 0.5, size, -size]).reshape(1, 1, 4)
  x = jnp.array([1.0, -1.0]).reshape(1, 1, 2)
  value, grad = jax.value_and_grad(GAUSSIAN.log_prob)(raw, x)
  expected = scipy.stats.norm(0.5, [0.4, 0.001]).logpdf([1, -1]).sum()
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  # d/d mean = (x - mean) / std^2; a saturated sigmoid has no slope.
  np.testing.assert_allclose(
    grad.ravel(), [0.5 / 0.16, -1.5 / 1e-6, 0, 0], rtol=1e-5
  )


def test_sigmoid_slope_reaches_the_gradient_of_the_gaussian():
  raw = jnp.array([0.2, -0.3]).reshape(1, 1, 2)
  x = jnp.full((1, 1, 1), 0.5)
  grad = jax.grad(GAUSSIAN.log_prob)(raw, x)[..., 1].item()
  up, down = (
    scipy.stats.norm.logpdf(0.3, 0, 0.001 + 0.399 * scipy.special.expit(r))
    for r in (-0.3 + 1e-5, -0.3 - 1e-5)
  )
  np.testing.assert_allclose(grad, (up - down) / 2e-5, rtol=1e-4)


@pytest.mark.parametrize("likelihood", [BERNOULLI, GAUSSIAN, FREE, COUNTS])
def test_samples_have_the_stated_moments(likelihood):
  image_channels = 2
  channels = likelihood.channels(image_channels)
  raw = jnp.linspace(-1.5, 2, 2 * channels).reshape(2, 1, channels)
  count = 20_000
  draws = likelihood.sample(
    jax.random.key(0), jnp.broadcast_to(raw, (count, *raw.shape))
  )
  assert draws.shape == (count, 2, 1, image_channels)
  assert draws.dtype == jnp.float32
  mean, std = likelihood.mean(raw), likelihood.std(raw)
  error = np.abs(draws.mean(0) - mean) / (std / np.sqrt(count))
  assert error.max() < 4
  np.testing.assert_allclose(draws.std(0), std, rtol=0.03)


@pytest.mark.parametrize("likelihood", [BERNOULLI, GAUSSIAN])
def test_log_prob_under_vmap_and_jit(likelihood):
  rng = np.random.default_rng(0)
  shape = (3, 2, 4, 4)
  raw = rng.normal(size=(*shape, likelihood.channels(3))).astype(np.float32)
  x = rng.integers(2, size=(*shape, 3)).astype(np.float32)
  expected = likelihood.log_prob(raw, x)
  assert expected.shape == (3, 2)
  mapped = jax.jit(jax.vmap(jax.vmap(likelihood.log_prob)))(raw, x)
  np.testing.assert_allclose(mapped, expected, rtol=1e-6)


@pytest.mark.parametrize("name", likelihoods._LIKELIHOODS)
def test_every_likelihood_has_the_members_of_the_protocol(name):
  likelihood = likelihoods.get(name)
  protocol = likelihoods.Likelihood
  methods = [n for n, f in vars(protocol).items() if inspect.isfunction(f)]
  methods = [n for n in methods if not n.startswith("_")]
  assert methods == ["channels", "log_prob", "mean", "std", "sample"]
  for method in methods:
    assert inspect.signature(getattr(type(likelihood), method)) == (
      inspect.signature(getattr(protocol, method))
    )
  assert set(protocol.__annotations__) == {"range", "binary", "counts"}
  low, high = likelihood.range
  assert low < high
  assert isinstance(likelihood.binary, bool)
  # A value: equal to another one, which a compiled function can share.
  assert likelihood == type(likelihood)()
  assert hash(likelihood) == hash(type(likelihood)())


@pytest.mark.parametrize("likelihood", [BERNOULLI, GAUSSIAN])
def test_binary_tells_what_x_is(likelihood):
  raw = jnp.linspace(-2, 2, 6 * likelihood.channels(1)).reshape(6, 1, -1)
  draws = np.unique(likelihood.sample(jax.random.key(0), raw))
  assert likelihood.binary == (set(draws) <= {0, 1})
  assert likelihood.range == ((0, 1) if likelihood.binary else (-1, 1))


def test_misuse_is_named():
  with pytest.raises(
    ValueError, match=r"likelihood must be one of .*'poisson'"
  ):
    likelihoods.get("poisson")
  x = np.zeros((2, 4, 4, 3), np.float32)
  with pytest.raises(ValueError, match=r"raw must .*\(4, 4, 6\)"):
    GAUSSIAN.log_prob(np.zeros((2, 4, 4, 3), np.float32), x)
  with pytest.raises(ValueError, match=r"raw must .*\(4, 4, 3\)"):
    BERNOULLI.log_prob(np.zeros((2, 4, 4, 1), np.float32), x)
