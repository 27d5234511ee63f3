"""What a prior can be: the two that there are, and two of other kinds.

The toy priors here are what the protocol has to be able to hold: one whose
parameters the optimiser trains, and one made of encoded inputs.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from fmvae import evaluation, likelihoods, model, networks, prior
from fmvae.data import Batch, Preprocessing, Split
from fmvae.model import Phase, priors
from fmvae.model.priors import Costs, Encoding, FactorialMixture, StandardNormal

SHAPE, L, N = (3, 3, 1), 4, 40
LOG_2PI = np.log(2 * np.pi)


def log_normal(z, loc, log_var):
  return -0.5 * jnp.sum(
    (z - loc) ** 2 * jnp.exp(-log_var) + log_var + LOG_2PI, -1
  )


@dataclasses.dataclass(frozen=True)
class Sampled(StandardNormal):
  """A prior by its log density alone: the KL is taken at the draw of z."""

  def costs(self, variables, encoding, labels):
    loc, log_var, _, z = encoding
    kl = log_normal(z, loc, log_var) - self.log_prob(variables, z)
    zero = jnp.zeros_like(kl)[..., None]
    return Costs(kl[..., None], zero, zero, ())


@dataclasses.dataclass(frozen=True)
class Trained(Sampled):
  """N(m, I), whose m the optimiser trains."""

  def init(self, key):
    return {"m": jnp.zeros(self.latent_dim)}, None

  def init_from(self, key, variables, loc, log_var, num_data):
    return {"m": loc.mean(0)}, None

  def log_prob(self, variables, z):
    m = variables.params["m"].reshape(*(1,) * (z.ndim - 1), L)
    return log_normal(z, m, jnp.zeros_like(m))


@dataclasses.dataclass(frozen=True)
class Encoded(Sampled):
  """The mixture of q(z|u) over three trained inputs u (VampPrior)."""

  def init(self, key):
    return jax.random.uniform(key, (3, *SHAPE)), None

  def init_from(self, key, variables, loc, log_var, num_data):
    return variables.params, None

  def log_prob(self, variables, z):
    around = (*(1,) * (z.ndim - 1), 3, L)
    loc, log_var = (
      x.reshape(around) for x in variables.encode(variables.params)
    )
    each = log_normal(z[..., None, :], loc, log_var)
    return jax.nn.logsumexp(each, -1) - np.log(3)


def model_of(prior_value):
  return model.Model(
    networks.make(
      "mlp", latent_dim=L, image_shape=SHAPE, channels=1, hidden=(6,)
    ),
    likelihoods.get("bernoulli"),
    prior_value,
    Preprocessing("threshold"),
  )


def phase_of(prior_value):
  return Phase(
    name="joint",
    start=0,
    end=400,
    prior=prior_value,
    num_data=N,
    updates_prior=prior_value.updates,
    optimizer=optax.adam(1e-2),
    step_size=lambda tau: 0.1 + 0 * tau,
    init_encodings=N,
  )


def data():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 2, (N, *SHAPE), dtype=np.uint8)
  return Split(images, np.full((N, 1), -1, np.int32), {})


@pytest.mark.parametrize("kind", [Trained, Encoded, StandardNormal])
def test_a_prior_of_any_kind_is_trained_scored_and_sampled(kind):
  value = kind(L)
  vae, phase, split = model_of(value), phase_of(value), data()
  state = model.init(vae, phase, jax.random.key(0))
  state = model.init_prior(vae, phase, state, split.images)
  step = jax.jit(functools.partial(model.train_step, vae, phase))
  batch = Batch(split.images, split.labels)
  first = evaluation.evaluate(vae, state, split, num_data=N)
  new, info = step(state, batch)
  assert set(info) == {"bound", "reconstruction", "kl_z", "kl_r"}
  if kind is not StandardNormal:
    moved = jax.tree.map(
      lambda a, b: bool((a != b).any()),
      state.params["prior"],
      new.params["prior"],
    )
    assert all(jax.tree.leaves(moved))
  for _ in range(50):
    new, _ = step(new, batch)
  last = evaluation.evaluate(vae, new, split, num_data=N)
  assert last.bound > first.bound + 0.1
  assert last.used == last.num_components == ()
  nll = evaluation.importance_nll(vae, new, split, 200).nll
  assert nll < -last.bound + 0.2


def test_a_density_of_encoded_inputs_moves_with_the_encoder():
  vae = model_of(Encoded(L))
  phase = phase_of(Encoded(L))
  state = model.init(vae, phase, jax.random.key(0))
  z = jnp.ones((2, L))

  def density(params):
    variables = vae.variables(params, None)
    return jnp.sum(vae.prior.log_prob(variables, z))

  grads = jax.grad(density)(state.params)
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grads)) > 0
  assert jnp.abs(grads["prior"]).max() > 0
  assert jnp.abs(grads["encoder"]["Dense_0"]["kernel"]).max() > 0


def test_standard_normal_against_scipy():
  rng = np.random.default_rng(0)
  loc, log_var, z = rng.normal(size=(3, 5, L))
  value = StandardNormal(L)
  var = np.exp(log_var)
  costs = value.costs(None, Encoding(loc, log_var, var, z), None)
  expected = 0.5 * np.sum(loc**2 + var - 1 - log_var, -1)
  np.testing.assert_allclose(costs.kl_z[:, 0], expected, rtol=1e-5)
  np.testing.assert_array_equal(costs.kl_r, 0)
  np.testing.assert_allclose(
    value.log_prob(None, z), stats.norm.logpdf(z).sum(-1), rtol=1e-5
  )
  draws, none = value.sample(jax.random.key(0), None, (4000,))
  assert none.shape == (4000, 0)
  assert np.abs(draws.mean(0)).max() < 0.1
  np.testing.assert_allclose(draws.std(0), 1, rtol=0.1)


def test_the_mixture_is_that_of_fmvae_prior():
  value = FactorialMixture(((1, 3), (3, 2)))
  _, state = value.init(jax.random.key(0))
  rng = np.random.default_rng(0)
  loc, log_var, z = jnp.asarray(rng.normal(size=(3, 5, L)), jnp.float32)
  variables = priors.Variables(None, state, None)
  encoding = Encoding(loc, log_var, jnp.exp(log_var), z)
  costs = value.costs(variables, encoding, None)
  resp = prior.responsibilities(state, loc, log_var)
  for found, wanted in (
    (costs.resp, resp),
    (costs.kl_z, prior.kl_z(state, loc, log_var, resp)),
    (costs.kl_r, prior.kl_r(state, resp)),
    (value.log_prob(variables, z), prior.log_prob(state, z)),
    (value.global_costs(variables), prior.kl_global(state)),
  ):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_priors_are_values_and_made_by_name():
  fields = {
    "latent_dim": 4,
    "factors": [[1, 3], [3, 2]],
    "hyperprior": {"c0": 2.0},
  }
  mixture = priors.make("factorial_mixture", **fields)
  assert mixture == priors.make("factorial_mixture", **fields)
  assert hash(mixture) == hash(priors.make("factorial_mixture", **fields))
  assert mixture.factors == ((1, 3), (3, 2))
  assert mixture.hyperprior.c0 == 2.0
  assert priors.make("standard_normal", **fields) == StandardNormal(4)
  with pytest.raises(
    ValueError, match=r"prior must be one of .* got 'vampire'"
  ):
    priors.make("vampire", **fields)
