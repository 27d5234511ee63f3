"""Mixtures with a point estimate: trained by gradients, and VampPrior."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from fmvae import evaluation, model
from fmvae.data import Batch
from fmvae.model import priors
from fmvae.model.priors import Encoding, GaussianMixture, StandardNormal, Vamp
from tests.model.test_priors import SHAPE, L, N, data, model_of, phase_of

FACTORS = ((1, 3), (3, 2))
RNG = np.random.default_rng(0)
LOC, LOG_VAR, NOISE = RNG.normal(size=(3, 5, L)).astype(np.float32)
Z = LOC + np.exp(0.5 * LOG_VAR) * NOISE
ENCODING = Encoding(LOC, LOG_VAR, np.exp(LOG_VAR), Z)


def mixture():
  """Of two factors, with its params as NumPy arrays."""
  rng = np.random.default_rng(1)
  params = {
    str(i): {
      "loc": rng.normal(size=(k, d)).astype(np.float32),
      "log_var": rng.normal(size=(k, d)).astype(np.float32),
      "logits": rng.normal(size=k).astype(np.float32),
    }
    for i, (d, k) in enumerate(FACTORS)
  }
  return GaussianMixture(FACTORS), priors.Variables(params, None, None)


def vamp(vae, state):
  """Its components by a loop: the encoder at each input that it clips."""
  inputs = np.clip(np.asarray(state.params["prior"]), 0, 1)
  found = [vae.vae.encode(state.params, jnp.asarray(u)) for u in inputs]
  return [np.asarray(part) for part in zip(*found, strict=True)]


def log_normals(z, loc, log_var):
  """`[..., K]` in float64."""
  scale = np.exp(0.5 * np.float64(log_var))
  return stats.norm.logpdf(z[..., None, :], loc, scale).sum(-1)


def explicit(variables, z):
  """log p(z_i) `[..., I]` and p(r_i|z_i), by SciPy."""
  out, resp, first = [], [], 0
  for i, (d, _) in enumerate(FACTORS):
    p = variables.params[str(i)]
    weights = special.log_softmax(p["logits"])
    part = z[..., first : first + d]
    joint = weights + log_normals(part, p["loc"], p["log_var"])
    out.append(special.logsumexp(joint, -1))
    resp.append(special.softmax(joint, -1))
    first += d
  return np.stack(out, -1), resp


def test_gaussian_mixture_against_scipy():
  value, variables = mixture()
  log_p, resp = explicit(variables, Z)
  np.testing.assert_allclose(
    value.log_prob(variables, jnp.asarray(Z)), log_p.sum(-1), rtol=2e-5
  )
  costs = value.costs(variables, ENCODING, None)
  log_q = stats.norm.logpdf(Z, LOC, np.exp(0.5 * LOG_VAR))
  parts = np.stack([log_q[:, :1].sum(-1), log_q[:, 1:].sum(-1)], -1)
  np.testing.assert_allclose(costs.kl_z, parts - log_p, rtol=1e-4, atol=1e-5)
  for found, wanted in zip(costs.resp, resp, strict=True):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
  for nothing in (costs.kl_r, costs.label_log_prob):
    np.testing.assert_array_equal(nothing, np.zeros((5, 2)))
  shares = [u.share for u in value.usage(variables)]
  for i, share in enumerate(shares):
    wanted = special.softmax(variables.params[str(i)]["logits"])
    np.testing.assert_allclose(share, wanted, rtol=1e-5)


def test_one_unit_component_is_the_standard_normal():
  value = GaussianMixture(((L, 1),))
  unit = {"loc": np.zeros((1, L)), "log_var": np.zeros((1, L))}
  params = {"0": jax.tree.map(jnp.float32, unit | {"logits": np.zeros(1)})}
  variables = priors.Variables(params, None, None)
  plain = StandardNormal(L)
  np.testing.assert_allclose(
    value.log_prob(variables, jnp.asarray(Z)),
    plain.log_prob(None, Z),
    rtol=1e-6,
  )
  # The KL at draws of z has the closed form as its mean.
  z = LOC + np.exp(0.5 * LOG_VAR) * RNG.normal(size=(20_000, 5, L))
  drawn = Encoding(*(np.broadcast_to(x, z.shape) for x in ENCODING[:3]), z)
  drawn = jax.tree.map(jnp.float32, drawn)
  kl = value.costs(variables, drawn, None).kl_z
  exact = plain.costs(None, ENCODING, None).kl_z
  np.testing.assert_allclose(kl.mean(0), exact, atol=0.1)


def test_samples_come_from_the_components_that_are_asked_for():
  value, variables = mixture()
  asked = jnp.array([2, -1])
  z, ks = value.sample(jax.random.key(0), variables, (20_000,), asked)
  assert (ks[:, 0] == 2).all()
  first, second = variables.params["0"], variables.params["1"]
  assert abs(float(z[:, 0].mean() - first["loc"][2, 0])) < 0.05
  np.testing.assert_allclose(
    np.bincount(ks[:, 1], minlength=2) / 20_000,
    special.softmax(second["logits"]),
    atol=0.02,
  )
  of_one = np.asarray(z[:, 1:])[np.asarray(ks[:, 1]) == 1]
  np.testing.assert_allclose(of_one.mean(0), second["loc"][1], atol=0.06)
  scale = np.exp(0.5 * second["log_var"][1])
  np.testing.assert_allclose(of_one.std(0), scale, rtol=0.05)


def test_it_begins_where_the_factorial_mixture_does():
  value = GaussianMixture(FACTORS)
  loc, log_var = RNG.normal(size=(2, 50, L)).astype(np.float32)
  key, known = jax.random.key(1), priors.Variables(None, None, None)
  params, state = value.init_from(key, known, loc, log_var, 50)
  assert state is None
  _, theirs = priors.FactorialMixture(FACTORS).init_from(
    key, known, loc, log_var, 50
  )
  np.testing.assert_array_equal(params["1"]["loc"], theirs.factors[1].m)
  pooled = np.var(loc, 0) + np.exp(log_var).mean(0)
  np.testing.assert_allclose(
    np.exp(params["1"]["log_var"][0]), pooled[1:], rtol=1e-3
  )


def test_vamp_against_a_loop():
  value = Vamp(3, L, SHAPE)
  vae = model_of(value)
  state = model.init(vae, phase_of(value), jax.random.key(0))
  inputs = state.params["prior"]
  assert abs(float(inputs.mean()) - 0.05) < 0.01 > float(inputs.std()) - 0.01
  wide = RNG.normal(0.5, 1, inputs.shape)  # some of it beyond [0, 1]
  state = state.replace(params={**state.params, "prior": jnp.float32(wide)})
  loc, log_var = vamp(vae, state)
  wanted = special.logsumexp(log_normals(Z, loc, log_var), -1) - np.log(3)
  variables = vae.variables_of(state)
  np.testing.assert_allclose(
    value.log_prob(variables, jnp.asarray(Z)), wanted, rtol=2e-5
  )
  costs = value.costs(variables, ENCODING, None)
  log_q = stats.norm.logpdf(Z, LOC, np.exp(0.5 * LOG_VAR)).sum(-1)
  np.testing.assert_allclose(costs.kl_z[:, 0], log_q - wanted, rtol=1e-4)
  z, ks = value.sample(
    jax.random.key(0), variables, (20_000,), jnp.full((1,), 1)
  )
  assert (ks == 1).all()
  np.testing.assert_allclose(z.mean(0), loc[1], atol=0.05)
  (usage,) = value.usage(variables)
  np.testing.assert_allclose(usage.share, np.full(3, 1 / 3), rtol=1e-6)


@pytest.mark.parametrize(
  "value", [GaussianMixture(FACTORS), Vamp(6, L, SHAPE)], ids=["points", "vamp"]
)
def test_training_moves_it_and_lifts_the_bound(value):
  vae, phase, split = model_of(value), phase_of(value), data()
  state = model.init(vae, phase, jax.random.key(0))
  state = model.init_prior(vae, phase, state, split.images)
  if isinstance(value, Vamp):  # six of the training images
    rounded = np.rint(state.params["prior"]).astype(np.uint8)
    wanted = {x.tobytes() for x in split.images}
    assert {x.tobytes() for x in rounded} <= wanted
  first = evaluation.evaluate(vae, state, split, num_data=N)
  assert first.num_components == tuple(k for _, k in value.factors)
  step = jax.jit(functools.partial(model.train_step, vae, phase))
  batch, before = Batch(split.images, split.labels), state.params["prior"]
  new = state
  for _ in range(50):
    new, _ = step(new, batch)
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()), before, new.params["prior"]
  )
  assert all(jax.tree.leaves(moved))
  last = evaluation.evaluate(vae, new, split, num_data=N)
  assert last.bound > first.bound + 0.1
  nll = evaluation.importance_nll(vae, new, split, 200).nll
  assert nll < -last.bound + 0.2


def test_they_are_values_and_made_by_name():
  fields = {
    "latent_dim": 4,
    "factors": [[4, 3]],
    "hyperprior": {},
    "image_shape": [3, 3, 1],
  }
  assert priors.make("vamp", **fields) == Vamp(3, 4, (3, 3, 1))
  points = priors.make("gaussian_mixture", **fields)
  assert points == GaussianMixture(((4, 3),))
  assert hash(points) == hash(GaussianMixture(((4, 3),)))
  with pytest.raises(ValueError, match=r"factors must hold one \(D, K\)"):
    priors.make("vamp", **(fields | {"factors": [[2, 3], [2, 3]]}))
