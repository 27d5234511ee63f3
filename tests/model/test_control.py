"""Named components that a picture obeys, and z_i that tell their own alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae import likelihoods, model, networks, prior
from fmvae.data import Preprocessing
from fmvae.model import control, local_terms
from fmvae.model.priors import FactorialMixture

SHAPE, B = (2, 2, 1), 6
PARTS = (slice(0, 2), slice(2, 4), slice(4, 5))  # the dimensions of each factor
NAMED = PARTS[1]
MODEL = model.Model(
  networks.make(
    "mlp", latent_dim=5, image_shape=SHAPE, channels=1, hidden=(8,)
  ),
  likelihoods.get("bernoulli"),
  FactorialMixture(((2, 4), (2, 3), (1, 2))),
  Preprocessing("threshold"),
  (model.Property(1, "kind", (0, 1), ("a", "b")),),
)


@pytest.fixture(scope="module")
def drawn():
  """A prior, z, noise, gamma and which images are drawn."""
  rng = np.random.default_rng(0)
  factors = [
    prior.MeanParams(
      m=rng.normal(size=(k, d)),
      s=rng.uniform(1, 9, (k, d)),
      a=rng.uniform(1, 9, (k, d)),
      b=rng.uniform(1, 9, (k, d)),
      c=rng.uniform(1, 9, k),
    )
    for d, k in MODEL.prior.factors
  ]
  state = prior.from_mean_params(
    jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), factors)
  )
  z, noise = jnp.asarray(rng.normal(size=(2, B, 5)), jnp.float32)
  noise = noise.at[0].set(5.0).at[1].set(-5.0)  # further than draws go
  resp = tuple(
    jnp.asarray(rng.dirichlet(np.ones(k), B), jnp.float32)
    for _, k in MODEL.prior.factors
  )
  return state, z, noise, resp, jnp.arange(B) < 4


def test_drawn_images_have_their_named_z_from_its_component(drawn):
  state, z, noise, resp, which = drawn
  out = control.draw_named(MODEL, state, z, noise, resp, which)
  expected = np.array(z)
  f = state.factors[1]
  for n in range(4):
    k = np.argmax(resp[1][n])
    eps = np.clip(noise[n, NAMED], -3, 3)
    expected[n, NAMED] = f.m[k] + np.sqrt(f.b[k] / f.a[k]) * eps
  np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_a_draw_has_no_gradient(drawn):
  state, z, noise, resp, which = drawn

  def total(state, z):
    out = control.draw_named(MODEL, state, z, noise, resp, which)
    return jnp.sum(out**2)

  of_prior, of_z = jax.grad(total, (0, 1))(state, z)
  assert not any(np.any(x) for x in jax.tree.leaves(of_prior))
  assert not np.any(of_z[:4, NAMED])
  expected = 2 * np.array(z)
  expected[:4, NAMED] = 0
  np.testing.assert_allclose(of_z, expected, rtol=1e-6)


def test_local_terms_decode_the_draw_and_charge_for_the_encoding(drawn):
  state, _, noise, _, which = drawn
  params = MODEL.vae.init(jax.random.key(0))
  x = jnp.asarray(np.random.default_rng(1).integers(0, 2, (B, *SHAPE)) * 1.0)
  args = (MODEL, params, state, x, noise)
  plain, resp, encoding = local_terms(*args)
  terms, _, same = local_terms(*args, drawn=which)
  z = control.draw_named(MODEL, state, encoding.z, noise, resp, which)
  raw = MODEL.vae.decode(params, z)
  np.testing.assert_allclose(
    terms.reconstruction, MODEL.likelihood.log_prob(raw, x), rtol=1e-5
  )
  np.testing.assert_array_equal(terms.kl_z, plain.kl_z)
  np.testing.assert_array_equal(same.z, encoding.z)


@pytest.fixture(scope="module")
def reader():
  return control.init_reader(MODEL, jax.random.key(1))


def costs(reader, state, z, resp):
  both = control.reader_costs(MODEL, reader, state, z, resp)
  return jnp.stack(both).mean(-1)


def standardised(state, z):
  """z in standard deviations of the mixtures from their means."""
  parts = []
  for f, where in zip(state.factors, PARTS, strict=True):
    f, x = jax.tree.map(np.asarray, (f, z[:, where]))
    share = f.c[:, None] / f.c.sum()
    mean = (share * f.m).sum(0)
    second = (share * (f.b / f.a + f.m**2)).sum(0)
    parts.append((x - mean) / np.sqrt(second - mean**2))
  return np.concatenate(parts, -1)


def test_reader_costs_by_their_definitions(drawn, reader):
  state, z, _, resp, _ = drawn
  network = control.Reader(MODEL.prior.factors)
  logits = network.apply({"params": reader}, standardised(state, z))
  reading = telling = 0
  for f, gamma, x in zip(state.factors, resp, logits, strict=True):
    log_probs = np.asarray(jax.nn.log_softmax(x))
    share = np.asarray(f.c / f.c.sum())
    reading -= (gamma * log_probs).sum(-1)
    telling += (share * (np.log(share) - log_probs)).sum(-1)
  ours = control.reader_costs(MODEL, reader, state, z, resp)
  np.testing.assert_allclose(ours[0], reading, rtol=1e-5)
  np.testing.assert_allclose(ours[1], telling, rtol=1e-4)
  assert (telling > 0).all()


def test_a_component_is_read_in_the_other_factors_alone(drawn, reader):
  _, z, _, _, _ = drawn
  network = control.Reader(MODEL.prior.factors)

  def total(z):
    logits = network.apply({"params": reader}, z)
    return jnp.stack([jnp.sum(x**2) for x in logits])

  slopes = jax.jacobian(total)(z)
  for i in range(3):
    for j, where in enumerate(PARTS):
      assert np.any(slopes[i][:, where]) == (i != j)


def test_each_cost_trains_its_own_side_alone(drawn, reader):
  state, z, _, resp, _ = drawn
  of_reader, of_prior, of_z, of_resp = jax.jacobian(costs, (0, 1, 2, 3))(
    reader, state, z, resp
  )
  assert not any(np.any(x) for x in jax.tree.leaves((of_prior, of_resp)))
  assert not any(np.any(x[1]) for x in jax.tree.leaves(of_reader))
  assert not np.any(of_z[0])
  assert all(np.any(x[0]) for x in jax.tree.leaves(of_reader))
  assert np.all(of_z[1])


def test_nothing_is_told_where_the_reader_knows_the_shares_alone(drawn, reader):
  state, z, _, resp, _ = drawn
  last = max(reader)
  bias = reader[last]["bias"]
  for i, f in enumerate(state.factors):
    bias = bias.at[i, : len(f.c)].set(jnp.log(f.c / f.c.sum()))
  ignorant = reader | {
    last: {"kernel": jnp.zeros_like(reader[last]["kernel"]), "bias": bias}
  }
  assert abs(costs(ignorant, state, z, resp)[1]) < 1e-6


def test_training_makes_the_other_factors_tell_nothing(drawn):
  """An encoder that has factor 0 tell the component of factor 1."""
  state, _, _, _, _ = drawn
  rng = np.random.default_rng(2)
  k = rng.integers(0, 3, 500)
  resp = tuple(
    jax.nn.one_hot(k if i == 1 else 0 * k, num)
    for i, (_, num) in enumerate(MODEL.prior.factors)
  )
  noise = jnp.asarray(rng.normal(size=(500, 5)), jnp.float32)
  height = jnp.asarray(k[:, None] - 1.0, jnp.float32)

  def loss(params, weight):
    z = noise.at[:, :2].add(params["scale"] * height)
    reading, telling = control.reader_costs(
      MODEL, params["reader"], state, z, resp
    )
    return jnp.mean(reading) + weight * jnp.mean(telling), jnp.mean(reading)

  @jax.jit
  def step(params, weight):
    grads, reading = jax.grad(loss, has_aux=True)(params, weight)
    return jax.tree.map(lambda x, g: x - 0.3 * g, params, grads), reading

  reader = control.init_reader(MODEL, jax.random.key(1))
  params = {"reader": reader, "scale": jnp.full((1, 2), 4.0)}
  for weight, steps in ((0.0, 100), (3.0, 300)):
    for _ in range(steps):
      params, reading = step(params, weight)
    if not weight:
      assert (params["scale"] == 4).all()
      assert reading < 0.4  # 1.1 nats are there to be told
  assert np.abs(params["scale"]).max() < 0.5
  assert reading > 0.8


def test_what_is_composed(drawn):
  state, z, _, _, _ = drawn
  num = 2000
  keys = jax.random.split(jax.random.key(3), num)
  composed, components = jax.jit(
    jax.vmap(lambda key: control.compose(MODEL, state, z[5], key))
  )(keys)
  composed, z = np.asarray(composed), np.asarray(z)
  k = np.asarray(components)[:, 0]
  assert set(k) == {0, 1}  # two of the three components have a name
  assert abs(np.mean(k) - 0.5) < 0.05
  factors = jax.tree.map(np.asarray, state.factors)
  f = factors[1]
  far = np.abs(composed[:, NAMED] - f.m[k]) / np.sqrt(f.b / f.a)[k]
  assert 2.5 < far.max() < 3 + 1e-4
  own = [(composed[:, where] == z[5, where]).all(-1) for where in PARTS]
  np.testing.assert_array_equal(own[0], own[2])  # all of them or none
  assert abs(np.mean(own[0]) - 0.5) < 0.05
  assert not own[1].any()
  others = factors[0]
  mean = (others.c[:, None] / others.c.sum() * others.m).sum(0)
  seen = composed[~own[0], PARTS[0]]
  error = np.abs(seen.mean(0) - mean) / (seen.std(0) / np.sqrt(len(seen)))
  assert error.max() < 4


@pytest.fixture(scope="module")
def pictures():
  rng = np.random.default_rng(4)
  params = dict(MODEL.vae.init(jax.random.key(0)))
  params["recogniser"] = control.init_recogniser(MODEL, jax.random.key(1))
  x = jnp.asarray(rng.integers(0, 2, (B, *SHAPE)), jnp.float32)
  return params, x, jax.random.split(jax.random.key(2), B)


def test_each_side_of_obedience_trains_its_own_network(drawn, pictures):
  state, z, _, resp, _ = drawn
  params, x, keys = pictures

  def both(params, state, z, resp):
    costs = control.obedience_costs(MODEL, params, state, x, z, resp, keys)
    return jnp.stack(costs).mean(-1)

  of_params, of_prior, *others = jax.jit(jax.jacobian(both, (0, 1, 2, 3)))(
    params, state, z, resp
  )
  assert not any(np.any(x) for x in jax.tree.leaves(others))
  assert not any(np.any(x[0]) for x in jax.tree.leaves(of_prior))
  named = [np.any(f.m[1]) and np.any(f.b[1]) for f in of_prior.factors]
  assert named == [False, True, False]
  moved = {
    name: [
      any(np.any(x[side]) for x in jax.tree.leaves(tree)) for side in (0, 1)
    ]
    for name, tree in of_params.items()
  }
  assert moved == {
    "encoder": [False, False],
    "decoder": [False, True],
    "recogniser": [True, False],
  }


def test_the_costs_of_a_recogniser_that_sees_what_it_is_told_to(
  drawn, pictures
):
  state, z, _, resp, _ = drawn
  params, x, keys = pictures
  last = params["recogniser"]["Dense_1"]
  told = jnp.log(jnp.asarray([0.2, 0.5, 0.3]))
  blind = {"kernel": jnp.zeros_like(last["kernel"]), "bias": told}
  params = params | {"recogniser": params["recogniser"] | {"Dense_1": blind}}
  recognising, obeying = control.obedience_costs(
    MODEL, params, state, x, z, resp, keys
  )
  np.testing.assert_allclose(recognising, -resp[1] @ told, rtol=1e-5)
  chosen = np.isclose(obeying[:, None], np.asarray(-told)[:2], rtol=1e-5)
  np.testing.assert_array_equal(chosen.sum(1), 1)


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 25, 3)])
def test_recogniser_takes_pictures_of_any_size(shape):
  network = control.Recogniser((2, 5))
  logits = jax.eval_shape(
    lambda key: network.init_with_output(key, jnp.zeros((3, *shape)))[0],
    jax.random.key(0),
  )
  assert [x.shape for x in logits] == [(3, 2), (3, 5)]
