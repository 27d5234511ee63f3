"""Importance-sampled log likelihoods, against linear Gaussian models."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from experiments import digits
from fmvae import evaluation, experiment, likelihoods, networks, prior
from fmvae.data import Preprocessing
from fmvae.data.random import permutation
from fmvae.evaluation.importance import _log_likelihood_of, log_likelihood
from fmvae.model import Model, model_at
from fmvae.model.priors import StandardNormal
from tests import named
from tests.prior.test_extremes import sizes

SHAPE, PIXELS, L = (3, 2, 1), 6, 3
STD = 0.3  # of every pixel given z
MODEL = Model(
  networks.make(
    "mlp",
    hidden=(),
    latent_dim=L,
    image_shape=SHAPE,
    channels=2,
  ),
  likelihoods.Gaussian(),
  StandardNormal(L),
  Preprocessing(),
)
RNG = np.random.default_rng(0)
# p(x|z) = N(W z + BIAS, STD^2 I). Orthogonal columns, so that the posterior
# under N(0, I) has independent dimensions, as q(z|x) has.
W = np.linalg.qr(RNG.normal(size=(PIXELS, L)))[0] * [0.2, 0.4, 0.6]
BIAS = RNG.normal(size=PIXELS)
POSTERIOR_VAR = 1 / (1 + np.sum(W**2, 0) / STD**2)
GAIN = POSTERIOR_VAR[:, None] * W.T / STD**2  # posterior mean of x - BIAS
X = stats.multivariate_normal(BIAS, W @ W.T + STD**2 * np.eye(PIXELS)).rvs(
  4, random_state=1
)


def make_params(shift=0.0, widen=1.0):
  """Of a q(z|x) that is off the posterior by `shift` and `widen` in std."""
  raw_std = special.logit((STD - 0.001) / 0.399)
  encoder = {
    "kernel": np.concatenate([GAIN, np.zeros_like(GAIN)]).T,
    "bias": np.concatenate(
      [shift - GAIN @ BIAS, np.log(widen**2 * POSTERIOR_VAR)]
    ),
  }
  decoder = {  # for each pixel the mean and the raw std
    "kernel": np.stack([W.T, np.zeros_like(W.T)], -1).reshape(L, -1),
    "bias": np.stack([BIAS, np.full(PIXELS, raw_std)], -1).ravel(),
  }
  params = {"encoder": {"Dense_0": encoder}, "decoder": {"Dense_0": decoder}}
  return jax.tree.map(jnp.float32, params)


def standard_normal(z):
  return jax.scipy.stats.norm.logpdf(z).sum(-1)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def both(log_prior, params, keys, x, num_samples, chunk):
  """Estimates and effective sample sizes."""
  x = x.reshape(-1, *SHAPE)
  return log_likelihood(MODEL, params, log_prior, keys, x, num_samples, chunk)


def estimate(*arguments):
  return both(*arguments)[0]


def repeat(num, num_samples, params, log_prior=standard_normal, x=X):
  """Independent estimates `[num, B]`."""
  keys = jax.random.split(jax.random.key(0), num * len(x))
  x = jnp.tile(jnp.float32(x), (num, 1))
  out = estimate(log_prior, params, keys, x, num_samples, 16)
  return np.asarray(out, np.float64).reshape(num, -1)


def exact(x=X):
  cov = W @ W.T + STD**2 * np.eye(PIXELS)
  return stats.multivariate_normal(BIAS, cov).logpdf(x)


def assert_unbiased(estimates, truth, spread):
  """E[exp(estimate)] = exp(truth) within four standard errors <= spread."""
  ratios = np.exp(estimates - truth)
  stderr = ratios.std(0) / np.sqrt(len(ratios))
  assert (stderr < spread).all(), stderr
  np.testing.assert_array_less(np.abs(ratios.mean(0) - 1), 4 * stderr + 1e-4)


def test_standard_normal_prior():
  params = make_params(shift=0.1, widen=1.3)
  assert_unbiased(repeat(500, 40, params), exact(), spread=0.005)


def mixture(a):
  """A prior of two factors, and log p(x) where its Student-t are Gaussian."""
  factors = []
  for d, k in ((1, 2), (2, 3)):
    s = RNG.uniform(5, 20, (k, d))
    variance = RNG.uniform(0.3, 1.5, (k, d))
    factors.append(
      prior.MeanParams(
        m=RNG.normal(0, 1.5, (k, d)),
        s=s,
        a=np.full((k, d), a),
        b=a * variance * s / (s + 1),
        c=RNG.uniform(1, 5, k),
      )
    )

  def log_density(x):
    terms = []
    for ks in itertools.product(*(range(len(f.c)) for f in factors)):
      parts = list(zip(factors, ks, strict=True))
      mean = np.concatenate([f.m[k] for f, k in parts])
      var = np.concatenate([(f.b * (f.s + 1) / f.s / f.a)[k] for f, k in parts])
      weight = np.prod([f.c[k] / f.c.sum() for f, k in parts])
      cov = (W * var) @ W.T + STD**2 * np.eye(PIXELS)
      normal = stats.multivariate_normal(BIAS + W @ mean, cov)
      terms.append(np.log(weight) + normal.logpdf(x))
    return special.logsumexp(terms, 0)

  state = prior.from_mean_params(jax.tree.map(jnp.float32, factors))
  return state, log_density


def test_mixture_prior():
  state, log_density = mixture(a=1e4)
  params = make_params(shift=0.1, widen=1.3)
  log_prior = functools.partial(prior.log_prob, state)
  truth = log_density(X)
  assert (np.abs(truth - exact()) > 0.3).all()  # not the N(0, I) answer
  assert_unbiased(repeat(500, 100, params, log_prior), truth, spread=0.005)


def test_exact_posterior_needs_one_draw():
  np.testing.assert_allclose(
    repeat(3, 1, make_params()), np.tile(exact(), (3, 1)), rtol=2e-6
  )


def test_one_draw_gives_the_elbo_and_many_the_truth():
  shift, widen = 0.4, 1.5
  params = make_params(shift, widen)
  # The ELBO is log p(x) - KL(q, posterior).
  kl = 0.5 * np.sum(widen**2 - 1 - np.log(widen**2) + shift**2 / POSTERIOR_VAR)
  means, stderrs = [], []
  for num, num_samples in ((4000, 1), (1000, 8), (100, 4096)):
    gaps = np.mean(repeat(num, num_samples, params) - exact(), -1)
    means.append(gaps.mean())
    stderrs.append(gaps.std() / np.sqrt(num))
  assert abs(means[0] + kl) < 4 * stderrs[0] < 0.2 * kl
  for i in range(2):
    assert means[i] + 4 * stderrs[i] < means[i + 1] - 4 * stderrs[i + 1]
  assert abs(means[2]) < 4 * stderrs[2] < 0.01


def test_an_image_has_its_own_draws():
  params = make_params(0.4, 1.5)
  keys = jax.random.split(jax.random.key(0), len(X))
  x = jnp.float32(X)
  score = functools.partial(estimate, standard_normal, params)
  together = score(keys, x, 7, 7)
  for chunk in (1, 3, 100):
    np.testing.assert_allclose(score(keys, x, 7, chunk), together, rtol=2e-6)
  alone = score(keys[2:3], x[2:3], 7, 3)
  np.testing.assert_allclose(alone, together[2:3], rtol=2e-6)
  other = score(keys[1:2], x[2:3], 7, 3)  # the draws matter
  assert abs(other[0] - together[2]) > 1e-3


def test_memory_does_not_grow_with_draws():
  keys = jax.random.split(jax.random.key(0), 4)

  def found(num_samples, chunk):
    def score(keys, x):
      return estimate(
        standard_normal, make_params(), keys, x, num_samples, chunk
      )

    jaxpr = jax.make_jaxpr(score)(keys, jnp.zeros((4, PIXELS))).jaxpr
    return sorted(size for size, _ in sizes(jaxpr))

  few = found(100, 10)
  assert few[-1] == 10 * 4 * 2 * PIXELS  # what the decoder returns
  assert found(100_003, 10) == few
  assert found(100, 20)[-1] == 2 * few[-1]


def picked_weights(weights):
  """A prior that makes the s-th weight of X[0], made by the draws, that."""
  params = make_params()  # p(x|z) N(z; 0, I) / q(z|x) is the same for all z
  key = jax.random.key(0)
  draws = [
    jax.random.normal(jax.random.fold_in(key, s), (L,))
    for s in range(len(weights))
  ]
  loc, log_var = MODEL.vae.encode(params, jnp.float32(X[0]).reshape(SHAPE))
  z = loc[None] + jnp.exp(0.5 * log_var)[None] * jnp.stack(draws)

  def log_prior(new_z):
    away = new_z[..., None, :] - z.reshape(*(1,) * (new_z.ndim - 1), *z.shape)
    nearest = jnp.argmin(jnp.sum(away**2, -1), -1)
    return standard_normal(new_z) + jnp.float32(weights)[nearest]

  x = jnp.float32(X[:1])
  found = both(log_prior, params, key[None], x, len(weights), 2)
  return [float(part[0]) for part in found]


INF = np.inf


@pytest.mark.parametrize(
  "weights",
  [
    [0.0, 0.0, 0.0],
    [1e4, 0.0, -1e4, 5.0, 1e4],
    [-1e4, 0.0, 3.0, 1e4, 0.0],  # the largest last
    [-1e4] * 5,
    [-INF, -INF, -INF, 2.0, 1.0],  # the first chunk holds nothing
    [2.0, -INF, -INF, -INF, -INF],
    [-INF] * 3,
  ],
)
def test_extreme_weights(weights):
  expected = exact()[0] + special.logsumexp(weights) - np.log(len(weights))
  found, effective = picked_weights(weights)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  if max(weights) == -INF:
    assert np.isnan(effective)
    return
  shares = np.exp(weights - special.logsumexp(weights))
  np.testing.assert_allclose(effective, 1 / np.sum(shares**2), rtol=1e-3)


@pytest.fixture(scope="module")
def trained(prepared):
  """An experiment and a state after its pre-training, started."""
  config = digits.get_config("smoke")
  exp = experiment.build(config, data_dir=prepared)
  state = named.with_prior(exp)
  return exp, state.replace(step=jnp.asarray(sum(config.steps.values())))


def test_importance_nll_of_an_experiment(trained):
  exp, state = trained
  result = evaluation.importance_nll(exp.model, state, exp.test, 200)
  again = evaluation.importance_nll(exp.model, state, exp.test, 200)
  assert result == again
  assert result.samples == 200
  assert 0 < result.nll_stderr < 5
  assert 1 <= result.effective_samples_decile < result.effective_samples < 200
  assert result.images == result.test_images == len(exp.test)
  assert (result.nll_of_all, result.nll_of_all_stderr) == (result.nll, 0.0)
  loose = evaluation.evaluate(
    exp.model, state, exp.test, num_data=len(exp.train), num_samples=20
  )
  assert -loose.bound - 10 < result.nll < -loose.bound


def test_before_the_mixture_the_prior_is_standard_normal(trained):
  exp, state = trained
  pretrain = exp.phases[0]
  assert pretrain.name == "pretrain"
  plain, mixed = (
    evaluation.importance_nll(
      model_at(exp.model, exp.phases, step), state, exp.test, 20
    )
    for step in (pretrain.end, int(state.step))
  )
  assert abs(plain.nll - mixed.nll) > 0.01
  images = jnp.asarray(exp.test.images, jnp.float32)
  keys = jax.random.split(jax.random.key(5), len(images))
  expected, _ = log_likelihood(
    exp.model, state.params, standard_normal, keys, images, 20, 20
  )
  assert plain.nll == pytest.approx(-float(np.mean(expected)), abs=0.05)


def test_importance_nll_names_a_bad_number(trained):
  exp, state = trained
  with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
    evaluation.importance_nll(exp.model, state, exp.test, 0)
  with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
    evaluation.importance_nll(exp.model, state, exp.test, 1, 0)


def test_some_of_the_images_with_the_draws_that_they_have_among_all(
  trained, monkeypatch, capsys
):
  exp, state = trained

  def of(num, test):
    return evaluation.importance_nll(exp.model, state, test, 7, num)

  few, one = of(3, exp.test), of(1, exp.test)
  assert (few.images, few.test_images) == (3, len(exp.test))
  assert few == of(3, exp.test)
  # By hand: which ones, and each image's own key.
  order = permutation(3, "importance", len(exp.test))
  keys = jax.random.split(jax.random.key(3), len(exp.test))
  found, _ = log_likelihood(
    exp.model,
    state.params,
    functools.partial(exp.model.prior.log_prob, exp.model.variables_of(state)),
    keys[order[:3]],
    jnp.asarray(exp.test.images[order[:3]], jnp.float32),
    7,
    2,
  )
  assert few.nll == pytest.approx(-float(found.mean()), rel=1e-5)
  assert one.nll == pytest.approx(-float(found[0]), rel=1e-5)
  assert capsys.readouterr().out == ""
  # What a person sees of a long one where there is no terminal.
  monkeypatch.setattr(evaluation.importance, "_LINE_EVERY", 0.0)
  total = len(exp.test)
  whole = of(10**6, exp.test)
  assert whole.images == total
  said = [f"NLL, S = 7: {total - n} of {total} images left" for n in (100, 200)]
  assert capsys.readouterr().out.splitlines() == said
  # Of a part, the bound of all tells the whole closer than the part alone.
  part = of(40, exp.test)
  terms, _ = evaluation.score_images(
    exp.model, state, exp.test.images, num_samples=10
  )
  bound = np.asarray(terms.bound)
  told = part.nll - np.mean(bound) + np.mean(bound[order[:40]])
  assert part.nll_of_all == pytest.approx(told, rel=1e-6)
  assert part.nll_of_all_stderr < 0.5 * part.nll_stderr
  assert abs(part.nll_of_all - whole.nll) < 3 * part.nll_of_all_stderr


def test_zeros_and_ones_by_one_logarithm():
  rng = np.random.default_rng(0)
  raw = np.float32(rng.normal(0, 20, (5, *SHAPE)))
  x = np.float32(rng.integers(0, 2, SHAPE))
  bits = MODEL.replace(likelihood=likelihoods.Bernoulli())
  np.testing.assert_allclose(
    _log_likelihood_of(bits, raw, x[None]),
    likelihoods.Bernoulli().log_prob(raw, x[None]),
    rtol=1e-5,
    atol=1e-5,
  )


def test_text_does_not_pass_for_eq_11():
  part = evaluation.ImportanceEstimate(
    93.1234, 0.268, 5000, 812.34, 7.06, 100, 400, 92.504, 0.061
  )
  assert str(part) == (
    "NLL 93.12 +- 0.27 nats (importance-sampled, S = 5,000, 100 of 400 test"
    " images)\n  for all, by their bound: 92.50 +- 0.06\n"
    "  effective sample size 812.3 on average, below 7.1 for a tenth of the"
    " images"
  )
  assert "for all" not in str(dataclasses.replace(part, images=400))
