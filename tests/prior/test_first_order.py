"""Eq. 8 in the mean parameters: gradients, domain, and who is touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fmvae import prior

from . import helpers

FIELDS = ("m", "s", "a", "b", "c")


@pytest.fixture
def problem(x64):
  factors, loc, log_var, labels = helpers.problem()
  return helpers.make_state(factors), loc, log_var, labels


def objective(state, loc, log_var, labels, delta, gamma):
  """F of eq. 8 per data point but for its reconstruction."""
  label = prior.label_log_prob(state, loc, log_var, labels)
  costs = prior.kl_z(state, loc, log_var, gamma) + prior.kl_r(state, gamma)
  local = jnp.mean(jnp.sum(delta * label - costs, -1))
  return local - jnp.sum(prior.kl_global(state)) / 50


def test_gradients_are_those_of_finite_differences_in_float64(problem):
  state, loc, log_var, labels = problem
  gamma = helpers.responsibilities(state, loc, log_var, labels)

  @jax.jit
  def value(updates):
    moved = tuple(map(prior.apply_log_updates, state.factors, updates))
    return objective(
      prior.from_mean_params(moved, state.hyperprior),
      loc,
      log_var,
      labels,
      30.0,
      gamma,
    )

  @jax.jit
  def log_gradients(factors):
    grads = jax.grad(
      lambda f: objective(
        prior.from_mean_params(f, state.hyperprior),
        loc,
        log_var,
        labels,
        30.0,
        gamma,
      )
    )(factors)
    return tuple(map(prior.log_gradients, factors, grads))

  found = log_gradients(state.factors)
  zero = jax.tree.map(np.zeros_like, state.factors)
  leaves, structure = jax.tree.flatten(zero)
  step = 1e-5
  for i, (leaf, grad) in enumerate(
    zip(leaves, jax.tree.leaves(found), strict=True)
  ):
    assert leaf.dtype == np.float64
    wanted = np.empty_like(leaf)
    for place in np.ndindex(leaf.shape):
      ends = []
      for sign in (1, -1):
        bent = [x.copy() for x in leaves]
        bent[i][place] = sign * step
        ends.append(value(jax.tree.unflatten(structure, bent)))
      wanted[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(grad, wanted, rtol=1e-5, atol=1e-7)


def test_a_factor_without_a_label_is_untouched_by_the_cross_entropy(problem):
  state, loc, log_var, labels = problem
  labels = labels.copy()
  labels[:, 1] = -1
  labels[0] = (0, -1, -1)

  @jax.jit
  @jax.grad
  def grads(factors, labels):
    state_ = prior.from_mean_params(factors, state.hyperprior)
    return jnp.sum(prior.label_log_prob(state_, loc, log_var, labels))

  found = grads(state.factors, labels)
  for field in FIELDS:
    assert (getattr(found[1], field) == 0).all()
  assert (found[0].m != 0).any()


def test_positive_parameters_stay_positive_and_a_zero_step_changes_no_bit():
  params = prior.MeanParams(
    m=jnp.array([[1e6, -1e-6]], jnp.float32),
    s=jnp.array([[1e-30, 1e30]], jnp.float32),
    a=jnp.array([[0.01, 8e4]], jnp.float32),
    b=jnp.array([[0.01, 3.7e5]], jnp.float32),
    c=jnp.array([0.01], jnp.float32),
  )
  zero = jax.tree.map(jnp.zeros_like, params)
  same = prior.apply_log_updates(params, zero)
  jax.tree.map(np.testing.assert_array_equal, same, params)
  for step in (-5.0, 5.0):
    steps = jax.tree.map(lambda x, step=step: jnp.full_like(x, step), params)
    moved = prior.apply_log_updates(params, steps)
    for field in FIELDS[1:]:
      value = np.asarray(getattr(moved, field))
      assert (value > 0).all()
      np.testing.assert_allclose(
        value, np.exp(step) * getattr(params, field), rtol=1e-6
      )
    np.testing.assert_allclose(moved.m, params.m + step)


def test_cross_entropy_and_its_gradients_are_finite_at_the_extremes():
  # Tight clusters far apart, a label on the far one: log g is -1e8.
  params = prior.MeanParams(
    m=jnp.array([[0.0], [100.0]], jnp.float32),
    s=jnp.full((2, 1), 1e5, jnp.float32),
    a=jnp.full((2, 1), 1e5, jnp.float32),
    b=jnp.full((2, 1), 5.0, jnp.float32),
    c=jnp.array([1e5, 0.01], jnp.float32),
  )

  def value(params, loc, log_var):
    state = prior.from_mean_params([params])
    return jnp.sum(prior.label_log_prob(state, loc, log_var, jnp.array([[1]])))

  loc, log_var = jnp.zeros((1, 1)), jnp.full((1, 1), -20.0)
  cost, grads = jax.jit(jax.value_and_grad(value, (0, 1, 2)))(
    params, loc.astype(jnp.float32), log_var.astype(jnp.float32)
  )
  assert -2e8 < cost < -5e7
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
