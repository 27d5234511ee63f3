"""The pure step against the full batch on one device, phase by phase."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fmvae import likelihoods, model, networks, prior
from fmvae.data import Batch, Preprocessing, binarisation
from fmvae.model import Phase, Supervision, local_terms, train_step
from fmvae.model.priors import FactorialMixture, StandardNormal

SHAPE, BATCH, N = (4, 4, 1), 8, 100
MODEL = model.Model(
  networks.make(
    "mlp", latent_dim=5, image_shape=SHAPE, channels=1, hidden=(8,)
  ),
  likelihoods.get("bernoulli"),
  FactorialMixture(((3, 4), (2, 3))),
  Preprocessing("dynamic"),
  (model.Property(1, "kind", (0, 1, 2), ("a", "b", "c")),),
)
SGD = optax.sgd(0.05)
# Labels of factor 1 in every third image; Delta 0, then above.
CLAMPED = Supervision((1,), lambda step: 0.0 * step, SGD)
SUPERVISED = Supervision((1,), lambda step: 3.0, SGD)
# Everything that a joint step can have.
ALL = {
  "supervision": SUPERVISED,
  "flips": True,
  "shifts": 1,
  "draw_named": 0.5,
  "independence": 3.0,
  "obedience": 2.0,
}


def make_phases(supervision=CLAMPED, **of_joint):
  """By name; their place in a run does not matter here."""
  shared = {
    "start": 0,
    "end": 9,
    "num_data": N,
    "optimizer": SGD,
    "step_size": lambda tau: 0.3 / (1 + tau),
  }
  mixture = shared | {"prior": MODEL.prior, "supervision": supervision}
  return {
    "pretrain": Phase(
      name="pretrain",
      prior=StandardNormal(5),
      updates_prior=False,
      kl_z_weight=lambda step: 0.5 + 0.1 * step,
      **shared,
    ),
    "prior": Phase(name="prior", trains_networks=False, **mixture),
    "joint": Phase(
      name="joint",
      kl_z_weight=lambda step: 1.0 + 0.2 * step,
      **mixture,
      **of_joint,
    ),
  }


def make_state(**options):
  return model.init(MODEL, make_phases(**options)["joint"], jax.random.key(0))


def make_step(phase, axis_name=None, **options):
  """The pure step of a phase: (state, batch) -> (state, info)."""
  phase = make_phases(**options)[phase]
  return functools.partial(train_step, MODEL, phase, axis_name=axis_name)


TRACES = collections.Counter()


@functools.partial(jax.jit, static_argnames="phase")
def _take_step(phase, state, data, delta):
  TRACES[phase] += 1
  supervision = Supervision((1,), lambda step: delta, SGD)
  return make_step(phase, supervision=supervision)(state, data)


def take_step(phase, state, data, delta=0.0):
  """A step of a phase by name, compiled once for all that Delta may be."""
  return _take_step(phase, state, data, delta)


PHASES = ("pretrain", "prior", "joint")


def batch(seed=0):
  rng = np.random.default_rng(seed)
  labels = np.full((BATCH, 2), -1, np.int32)
  labels[::3, 1] = rng.integers(0, 3, len(labels[::3]))
  return Batch(
    images=rng.integers(0, 256, (BATCH, *SHAPE), dtype=np.uint8), labels=labels
  )


def trajectory(num_devices):
  """States after two steps of each phase, from SGD, on any device count."""
  devices = jax.devices()[:num_devices]
  assert len(devices) == num_devices
  state = jax.tree.map(
    lambda x: jnp.broadcast_to(x, (num_devices, *x.shape)), make_state(**ALL)
  )
  infos = []
  for phase in PHASES:
    step = make_step(phase, "d", **ALL)
    run = jax.pmap(step, "d", devices=devices)
    for seed in range(2):
      parts = jax.tree.map(
        lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch(seed)
      )
      state, info = run(state, parts)
      infos.append(info)
  return jax.device_get(jax.tree.map(lambda x: x[0], (numbers(state), infos)))


@jax.jit
def drawn(state, data):
  """x, the noise for z, gamma and log g at the label, by the definitions."""
  step_key = jax.random.fold_in(state.key, state.step)
  keys = jax.vmap(lambda i: jax.random.fold_in(step_key, i))(jnp.arange(BATCH))
  pairs = jax.vmap(jax.random.split)(keys)
  x = jax.vmap(binarisation.dynamic)(pairs[:, 0], data.images)
  noise = jax.vmap(lambda k: jax.random.normal(k, (5,)))(pairs[:, 1])
  seen = (state.prior, *MODEL.vae.encode(state.params, x), data.labels)
  return x, noise, prior.responsibilities(*seen), prior.label_log_prob(*seen)


@jax.jit
def moved(state, params, x, labels):
  """The prior after eq. 13-14 at the encodings by `params`."""
  return prior.svi_update(
    state.prior,
    *MODEL.vae.encode(params, x),
    num_data=N,
    step_size=0.3,
    labels=labels,
  )


def numbers(state):
  return state.replace(key=jax.random.key_data(state.key))


def assert_close(x, y, rtol=2e-5):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), x, y
  )


def test_one_two_and_four_devices_take_the_full_batch_trajectory():
  # SGD: Adam would hide a gradient that is wrong by a factor.
  state, infos = make_state(**ALL), []
  for phase in PHASES:
    step = jax.jit(make_step(phase, **ALL))
    for seed in range(2):
      state, info = step(state, batch(seed))
      infos.append(info)
  alone = jax.device_get((numbers(state), infos))
  for num_devices in (1, 2, 4):
    assert_close(trajectory(num_devices), alone)


def test_without_delta_a_joint_step_is_eq_4_then_clamped_eq_13():
  state, data = make_state(), batch()
  new, info = take_step("joint", state, data)
  # The same from the definitions, with gamma a constant of its own.
  x, noise, gamma, _ = drawn(state, data)

  def elbo(params):
    loc, log_var = MODEL.vae.encode(params, x)
    z = loc + jnp.exp(log_var / 2) * noise
    reconstruction = MODEL.likelihood.log_prob(MODEL.vae.decode(params, z), x)
    cost = prior.kl_z(state.prior, loc, log_var, gamma)
    cost += prior.kl_r(state.prior, gamma)
    return jnp.mean(reconstruction - cost.sum(-1))

  value, grads = jax.jit(jax.value_and_grad(elbo))(state.params)
  wanted = jax.tree.map(lambda p, g: p + 0.05 * g, state.params, grads)
  assert_close(new.params, wanted)
  np.testing.assert_allclose(info["bound"], value, rtol=1e-5)
  updated = moved(state, wanted, x, data.labels)
  assert_close(new.prior, updated, rtol=1e-4)


def test_without_a_second_encoding_eq_13_takes_that_of_the_gradient_step():
  state, data = make_state(), batch()
  phase = dataclasses.replace(make_phases()["joint"], encodes_again=False)
  new, _ = jax.jit(functools.partial(train_step, MODEL, phase))(state, data)
  again, _ = take_step("joint", state, data)
  x, *_ = drawn(state, data)
  updated = moved(state, state.params, x, data.labels)
  assert_close(new.prior, updated, rtol=1e-4)
  assert_close(new.params, again.params)
  assert (new.prior.factors[0].m != again.prior.factors[0].m).any()


def test_with_delta_named_factors_climb_eq_8_and_the_others_take_eq_13():
  state, data, rate = make_state(), batch(), 0.05
  # Step 2 of the schedule of KL[z], weight 1.4.
  state = state.replace(step=state.step + 2)
  new, info = take_step("joint", state, data, 3.0)
  x, noise, gamma, label = drawn(state, data)

  def objective(params, factor):  # F of eq. 8 over N
    mixture = prior.from_mean_params((state.prior.factors[0], factor))
    loc, log_var = MODEL.vae.encode(params, x)
    z = loc + jnp.exp(log_var / 2) * noise
    reconstruction = MODEL.likelihood.log_prob(MODEL.vae.decode(params, z), x)
    cost = 1.4 * prior.kl_z(mixture, loc, log_var, gamma)
    cost += prior.kl_r(mixture, gamma)
    cost -= 3.0 * prior.label_log_prob(mixture, loc, log_var, data.labels)
    return jnp.mean(reconstruction - cost.sum(-1)) - (
      prior.kl_global(mixture)[1] / N
    )

  old = state.prior.factors[1]
  grads, by_factor = jax.jit(jax.grad(objective, (0, 1)))(state.params, old)
  wanted = jax.tree.map(lambda p, g: p + rate * g, state.params, grads)
  assert_close(new.params, wanted)
  found = new.prior.factors[1]
  np.testing.assert_allclose(found.m, old.m + rate * by_factor.m, rtol=1e-4)
  for name in "sabc":
    value, slope = getattr(old, name), getattr(by_factor, name)
    np.testing.assert_allclose(
      getattr(found, name), value * np.exp(rate * value * slope), rtol=1e-4
    )
    assert (getattr(found, name) != value).any()
  updated = moved(state, wanted, x, data.labels)
  assert_close(new.prior.factors[0], updated.factors[0], rtol=1e-4)
  np.testing.assert_allclose(
    info["label_log_prob"], label.sum(-1).mean(), rtol=1e-5
  )
  assert info["delta"] == 3


def test_delta_falling_to_zero_returns_the_factors_to_closed_form():
  falling = Supervision((1,), lambda step: 3.0 * (step < 1), SGD)
  step = jax.jit(make_step("joint", supervision=falling))
  first, _ = step(make_state(supervision=falling), batch())
  second, info = step(first, batch(1))
  wanted, _ = take_step("joint", first, batch(1), 0.0)
  assert info["delta"] == 0
  assert_close(second.prior, wanted.prior)
  # The optimiser of the named factors has rested.
  jax.tree.map(
    np.testing.assert_array_equal, second.named_opt_state, first.named_opt_state
  )


def test_a_named_factor_without_labels_in_the_batch_does_not_see_delta():
  data = batch()
  data = data._replace(labels=np.full_like(data.labels, -1))
  state = make_state()
  results = []
  for delta in (1e-30, 3.0):
    results.append(take_step("joint", state, data, delta)[0])
  assert_close(results[0].prior, results[1].prior, rtol=0)
  assert_close(results[0].params, results[1].params, rtol=0)
  assert (results[0].prior.factors[1].m != state.prior.factors[1].m).any()


def test_each_phase_moves_its_own_parameters_alone():
  state = make_state()
  pretrained, _ = take_step("pretrain", state, batch())
  fitted, _ = take_step("prior", state, batch())
  assert_close(pretrained.prior, state.prior, rtol=0)
  assert_close(fitted.params, state.params, rtol=0)
  old, moved = state.params["encoder"], pretrained.params["encoder"]
  assert any(
    jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), old, moved))
  )
  assert (fitted.prior.factors[0].c != state.prior.factors[0].c).any()
  counts = [int(s.prior_updates) for s in (pretrained, fitted)]
  assert counts == [0, 1]
  assert int(pretrained.step) == int(fitted.step) == 1


def test_same_step_same_noise_next_step_other_noise():
  state = make_state()
  _, first = take_step("pretrain", state, batch())
  _, again = take_step("pretrain", state, batch())
  following = state.replace(step=state.step + 1)
  _, second = take_step("pretrain", following, batch())
  assert first["reconstruction"] == again["reconstruction"]
  assert first["reconstruction"] != second["reconstruction"]


def test_one_certain_component_is_the_plain_vae():
  # K = 1 with mu = 0 and alpha = 1 known for certain is N(0, I).
  sure = jnp.full((1, 5), 1e7)
  state = prior.from_mean_params(
    [prior.MeanParams(m=0 * sure, s=sure, a=sure, b=sure, c=jnp.ones(1))]
  )
  params = make_state().params
  x = jnp.asarray(
    np.random.default_rng(0).integers(0, 2, (BATCH, *SHAPE)), float
  )
  noise = jax.random.normal(jax.random.key(1), (BATCH, 5))
  plain, none, _ = local_terms(
    MODEL.replace(prior=StandardNormal(5)), params, None, x, noise
  )
  mixture, resp, _ = local_terms(MODEL, params, state, x, noise)
  assert none == ()
  assert_close(mixture, plain, rtol=1e-4)
  np.testing.assert_array_equal(resp[0], 1)


@pytest.mark.parametrize("phase", PHASES)
def test_ten_steps_one_trace(phase):
  state = make_state()
  for seed in range(10):
    state, _ = take_step(phase, state, batch(seed))
  assert TRACES[phase] == 1  # by all tests of this file


def test_equal_models_and_phases_share_what_is_compiled():
  again = MODEL.replace(
    vae=networks.make(
      "mlp", latent_dim=5, image_shape=SHAPE, channels=1, hidden=(8,)
    ),
    prior=FactorialMixture(((3, 4), (2, 3))),
    preprocessing=Preprocessing("dynamic"),
  )
  assert again is not MODEL
  assert again == MODEL
  assert hash(again) == hash(MODEL)
  state = make_state()
  images = batch().images[..., :1]
  first = MODEL.encode(state, images, jax.random.key(0), training=True)
  compiled = model.model._encode._cache_size()
  second = again.encode(state, images, jax.random.key(0), training=True)
  assert model.model._encode._cache_size() == compiled
  jax.tree.map(np.testing.assert_array_equal, first, second)
  other = MODEL.replace(prior=StandardNormal(5))
  assert other != MODEL


def test_the_prior_in_effect_is_that_of_the_phase_that_made_the_state():
  phases = (
    make_phases()["pretrain"],
    dataclasses.replace(make_phases()["joint"], start=9, end=12),
  )
  plain = [model.model_at(MODEL, phases, step).prior for step in (0, 1, 9)]
  assert plain == [StandardNormal(5)] * 3
  mixture = [model.model_at(MODEL, phases, step).prior for step in (10, 12)]
  assert mixture == [MODEL.prior] * 2
  # Without pre-training too, a mixture that has seen nothing is not in effect.
  alone = (dataclasses.replace(make_phases()["joint"], start=0, end=12),)
  assert model.model_at(MODEL, alone, 0).prior == StandardNormal(5)
