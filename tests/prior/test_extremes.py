"""Finite values and gradients at the ends of the range, in float32."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from . import oracle
from .helpers import assert_finite, log_prob, make_state, sample

B, K, D = 256, 4096, 64


def f32(x):
  return jnp.asarray(x, jnp.float32)


# Scalar functions of (state, loc, log_var, labels).
def sum_kl_z(state, loc, log_var, labels):
  resp = prior.responsibilities(state, loc, log_var, labels)
  return jnp.sum(prior.kl_z(state, loc, log_var, resp))


def sum_kl_r(state, loc, log_var, labels):
  resp = prior.responsibilities(state, loc, log_var, labels)
  return jnp.sum(prior.kl_r(state, resp))


def sum_label_log_prob(state, loc, log_var, labels):
  return jnp.sum(prior.label_log_prob(state, loc, log_var, labels))


def sum_log_prob(state, loc, log_var, labels):
  del log_var, labels
  return jnp.sum(prior.log_prob(state, loc))


def sum_kl_global(state, loc, log_var, labels):
  del loc, log_var, labels
  return jnp.sum(prior.kl_global(state))


def sum_update(state, loc, log_var, labels):
  new = prior.svi_update(
    state, loc, log_var, num_data=60_000, step_size=0.01, labels=labels
  )
  return sum(jnp.sum(x) for x in jax.tree.leaves(new))


def sum_responsibilities(state, loc, log_var, labels):
  resp = prior.responsibilities(state, loc, log_var, labels)
  return sum(jnp.sum(r**2) for r in resp)


FUNCTIONS = (
  sum_kl_z,
  sum_kl_r,
  sum_label_log_prob,
  sum_log_prob,
  sum_kl_global,
)


@functools.partial(jax.jit, static_argnames="functions")
def values_and_gradients(functions, *args):
  """Each function's value and gradient for state, loc and log_var."""
  return {
    fn.__name__: jax.value_and_grad(fn, argnums=(0, 1, 2))(*args)
    for fn in functions
  }


def check_finite(*args, functions=FUNCTIONS):
  out = values_and_gradients(functions, *args)
  for name, value_and_gradients in out.items():
    try:
      assert_finite(value_and_gradients)
    except AssertionError as error:
      error.add_note(f"in {name}")
      raise
  return out


def factor(*components):
  """A factor of two dimensions from the parameters of its components."""
  m, s, a, b, c = np.array(components, np.float64).T
  return oracle.Params(*(np.tile(x[:, None], 2) for x in (m, s, a, b)), c)


NORMAL = (0.0, 100.0, 50.0, 50.0, 100.0)
FACTORS = {
  "far_and_tight": factor(
    (-1000.0, 1e4, 5e3, 5e3, 1e4),
    (1000.0, 1e4, 5e3, 5e-3, 1e4),
    (3.0, 1e4, 5e3, 5e-3, 1e4),
  ),
  "abandoned": factor(
    NORMAL, (0.0, 1.0, 0.01, 0.01, 1.0), (0.5, 1.0001, 0.0101, 0.0102, 1.0)
  ),
  "many_points": factor(
    (0.0, 6e4, 3e4, 3e3, 6e4), (1.0, 6e4, 3e4, 3e5, 6e4), NORMAL
  ),
  "one_point": factor(
    (2.0, 1.0 + 1e-6, 0.0100005, 1e-6, 1 + 1e-6), NORMAL, NORMAL
  ),
}


@pytest.mark.parametrize("kind", FACTORS)
def test_finite_values_and_gradients(kind):
  """Points near and far, certain and diffuse, with and without a label."""
  state = make_state([FACTORS[kind]], dtype=jnp.float32)
  loc, log_var, label = np.meshgrid(
    [-1000.0, 0.0, 1.0, 1003.0], [-30.0, -2.0, 30.0], [-1, 0, 2]
  )
  loc, log_var = (f32(np.tile(x.ravel()[:, None], 2)) for x in (loc, log_var))
  labels = jnp.asarray(label.ravel()[:, None], jnp.int32)
  check_finite(state, loc, log_var, labels)


@pytest.mark.parametrize("kind", FACTORS)
def test_updates_stay_finite_and_positive(kind):
  state = make_state([FACTORS[kind]], dtype=jnp.float32)
  update = jax.jit(
    functools.partial(prior.svi_update, num_data=60_000, step_size=0.5)
  )
  for log_var in (-30.0, 30.0):
    loc = f32([[-1000.0, 1.0], [1003.0, 0.0]])
    new = update(state, loc, jnp.full_like(loc, log_var))
    assert_finite(new)
    for x in ("s", "a", "b", "c"):
      assert np.all(getattr(prior.mean_params(new)[0], x) > 0)


def test_saturated_responsibilities_have_the_right_divergence():
  """0 log 0 = 0: a one-hot gamma costs -E[log pi] of its component."""
  p = FACTORS["far_and_tight"]
  state = make_state([p], dtype=jnp.float32)
  one_hot = (jnp.eye(3, dtype=jnp.float32),)
  expected = -oracle.expected_log_share(p)
  np.testing.assert_allclose(
    prior.kl_r(state, one_hot)[:, 0], expected, rtol=1e-5
  )


def test_samples_of_abandoned_components_are_finite_and_marked():
  state = make_state([FACTORS["abandoned"]], dtype=jnp.float32)
  given = jnp.arange(30_000)[:, None] % 3
  z, components = sample(
    jax.random.key(0), state, shape=(30_000,), components=given
  )
  np.testing.assert_array_equal(components, given)
  assert_finite(z)
  assert_finite(log_prob(state, z))
  # The live one beside them is drawn as ever, a t of 100 degrees.
  live = np.asarray(z[::3], np.float64)
  np.testing.assert_allclose(live.std(), (1.01 * 100 / 98) ** 0.5, rtol=0.03)
  pruned = prior.usage(state)[0].pruned
  assert pruned.tolist() == [False, True, True]


def test_one_component_is_finite():
  state = make_state([factor(NORMAL)], dtype=jnp.float32)
  loc = f32([[0.0, 1.0], [50.0, -3.0]])
  labels = jnp.array([[-1], [0]])
  out = check_finite(
    state, loc, jnp.zeros_like(loc), labels, functions=FUNCTIONS[:3]
  )
  for name in ("sum_label_log_prob", "sum_kl_r"):
    _, (_, for_loc, _) = out[name]
    np.testing.assert_array_equal(for_loc, 0)


def many_components(dim):
  rng = np.random.default_rng(0)
  factors = [oracle.random_params(rng, dim, K)]
  loc, log_var = oracle.random_data(rng, B, dim)
  labels = rng.integers(-1, K, (B, 1))
  state = make_state(factors, dtype=jnp.float32)
  return factors, state, f32(loc), f32(log_var), jnp.asarray(labels)


def test_4096_components_are_finite():
  _, *case = many_components(3)
  check_finite(*case, functions=FUNCTIONS[:4])


def test_4096_components_against_the_oracle():
  factors, state, loc, log_var, _ = many_components(3)
  expected = oracle.responsibilities(factors, loc, log_var)
  actual = jax.jit(prior.responsibilities)(state, loc, log_var)
  np.testing.assert_allclose(actual[0], expected[0], rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(
    log_prob(state, loc), oracle.log_prob(factors, loc), rtol=1e-4
  )


def sizes(jaxpr):
  """The number of elements of every intermediate, at any depth."""
  for equation in jaxpr.eqns:
    for variable in equation.outvars:
      yield math.prod(getattr(variable.aval, "shape", ())), equation
    for value in equation.params.values():
      for inner in value if isinstance(value, (tuple, list)) else (value,):
        inner = getattr(inner, "jaxpr", inner)
        if hasattr(inner, "eqns"):
          yield from sizes(inner)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
  "fn",
  [sum_responsibilities, sum_kl_z, sum_kl_r, sum_update, sum_log_prob],
)
def test_memory_is_not_batch_times_components_times_dimensions(fn, gradient):
  shapes = oracle.Params(*[(K, D)] * 4, (K,))
  zeros = oracle.Params(*(np.ones(shape) for shape in shapes))
  state = make_state([zeros], dtype=jnp.float32)
  x = jax.ShapeDtypeStruct((B, D), jnp.float32)
  labels = jax.ShapeDtypeStruct((B, 1), jnp.int32)
  fn = jax.grad(fn, argnums=(0, 1, 2)) if gradient else fn
  found = list(sizes(jax.make_jaxpr(fn)(state, x, x, labels).jaxpr))
  assert max(size for size, _ in found) >= B * K  # the walk saw the logits
  largest, equation = max(found, key=lambda pair: pair[0])
  assert largest < B * K * D, equation


def test_the_walk_sees_inside_transformations():
  def inner(x):
    return jnp.sum(x[:, None] * x[None])

  def fn(x):
    def body(carry, _):
      return carry + jax.jit(jax.checkpoint(inner))(x), None

    return jax.lax.scan(body, 0.0, None, length=2)[0]

  x = jax.ShapeDtypeStruct((10,), jnp.float32)
  assert max(n for n, _ in sizes(jax.make_jaxpr(fn)(x).jaxpr)) == 100
