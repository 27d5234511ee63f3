import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import fmvae.prior as prior

from . import oracle
from .helpers import HYPER, close, directional, make_state, problem

NUM_DATA = 57
SIZES = ((2, 3), (3, 2))  # (D_i, K_i)


@functools.cache
def float32_case(seed=0):
  """State, means, log variances and labels; six data points."""
  factors, loc, log_var, labels = problem(seed, SIZES, 6)
  state = make_state(factors, HYPER, jnp.float32)
  loc, log_var = (jnp.asarray(x, jnp.float32) for x in (loc, log_var))
  return state, loc, log_var, jnp.asarray(labels)


def pointwise(state, loc, log_var, labels):
  """Every function of one data point or many, under its name."""
  resp = prior.responsibilities(state, loc, log_var, labels)
  return {
    "responsibilities": prior.responsibilities(state, loc, log_var),
    "component_logits": prior.component_logits(state, loc, log_var),
    "clamped": resp,
    "kl_z": prior.kl_z(state, loc, log_var, resp),
    "kl_r": prior.kl_r(state, resp),
    "log_prob": prior.log_prob(state, loc),
    "codes": prior.codes(state, loc, log_var),
    "label_log_prob": prior.label_log_prob(state, loc, log_var, labels),
  }


compiled = jax.jit(pointwise)


def close_by_name(actual, expected, tolerance=1e-5):
  assert set(actual) == set(expected)
  for name in expected:
    try:
      close(actual[name], expected[name], tolerance)
    except AssertionError as error:
      error.add_note(f"in {name}")
      raise


def test_values():
  """What the comparisons below compare is right."""
  factors, loc, log_var, labels = problem(0, SIZES, 6)
  resp = oracle.responsibilities(factors, loc, log_var, labels)
  actual = compiled(*float32_case())
  expected = {
    "responsibilities": oracle.responsibilities(factors, loc, log_var),
    "component_logits": oracle.component_logits(factors, loc, log_var),
    "clamped": resp,
    "kl_z": oracle.kl_z(factors, loc, log_var, resp),
    "kl_r": oracle.kl_r(factors, resp),
    "log_prob": oracle.log_prob(factors, loc),
  }
  close_by_name({name: actual[name] for name in expected}, expected, 1e-4)


@pytest.mark.parametrize("name", ["clamped", "kl_z", "kl_r", "codes"])
def test_jit_equals_eager(name):
  state, *data = float32_case()
  if name == "clamped":
    actual = prior.responsibilities(state, *data)
  elif name == "codes":
    actual = prior.codes(state, *data[:2])
  else:
    resp = compiled(state, *data)["clamped"]
    args = (*data[:2], resp) if name == "kl_z" else (resp,)
    actual = getattr(prior, name)(state, *args)
  close(actual, compiled(state, *data)[name], 1e-5)


def test_nested_vmap_over_states_and_points():
  """Axis 0 of everything is another state, axis 1 another data point."""
  cases = [float32_case(seed) for seed in (0, 1)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *cases)
  inner = jax.vmap(pointwise, in_axes=(None, 0, 0, 0))
  actual = jax.jit(jax.vmap(inner))(*stacked)
  for i, case in enumerate(cases):
    one = jax.tree.map(lambda x, i=i: x[i], actual)
    close_by_name(one, compiled(*case))


@pytest.mark.parametrize("shape", [(), (1, 3, 2, 1)])
def test_any_number_of_leading_axes(shape):
  state, *data = float32_case()
  num = int(np.prod(shape))
  flat = jax.tree.map(lambda x: x[:num], compiled(state, *data))
  shaped = [x[:num].reshape(*shape, x.shape[-1]) for x in data]
  actual = compiled(state, *shaped)
  expected = jax.tree.map(lambda x: x.reshape(shape + x.shape[1:]), flat)
  assert jax.tree.map(jnp.shape, actual) == jax.tree.map(jnp.shape, expected)
  close_by_name(actual, expected)


def test_shapes_and_dtypes():
  out = compiled(*float32_case())
  rows = [(6, k) for _, k in SIZES]
  for name in ("responsibilities", "component_logits", "clamped"):
    assert [x.shape for x in out[name]] == rows
  for name in ("kl_z", "kl_r", "codes", "label_log_prob"):
    assert out[name].shape == (6, len(SIZES))
  assert out["log_prob"].shape == (6,)
  assert jnp.issubdtype(out.pop("codes").dtype, jnp.integer)
  assert {x.dtype for x in jax.tree.leaves(out)} == {jnp.dtype("float32")}


def test_gradients_against_finite_differences(x64):
  """Of all functions at once, for state, loc and log_var at once."""
  factors, loc, log_var, labels = problem(0, ((2, 3),), 6)
  labels = np.where(np.arange(6)[:, None] < 3, -1, np.maximum(labels, 0))

  def fn(state, loc, log_var):
    out = pointwise(state, loc, log_var, labels)
    del out["codes"]
    out["kl_global"] = prior.kl_global(state)
    out["svi_update"] = update(state, loc, log_var, None)
    # Weights, since responsibilities sum to a constant.
    return sum(
      jnp.sum(jnp.cos(1 + i + jnp.arange(x.size)) * x.ravel())
      for i, x in enumerate(jax.tree.leaves(out))
    )

  args = make_state(factors, HYPER), jnp.asarray(loc), jnp.asarray(log_var)
  for seed in range(3):
    slope, difference = directional(fn, args, jax.random.key(seed))
    assert abs(difference) > 1
    close(slope, difference, 1e-6)


def test_kl_global_under_vmap_over_states():
  factors = [problem(seed, ((2, 3),))[0] for seed in (0, 1)]
  states = [make_state(f, HYPER, jnp.float32) for f in factors]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
  actual = jax.jit(jax.vmap(prior.kl_global))(stacked)
  assert actual.dtype == jnp.float32
  expected = np.stack([oracle.kl_global(f, HYPER) for f in factors])
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def update(state, loc, log_var, labels, step_size=0.3):
  return prior.svi_update(
    state,
    loc,
    log_var,
    num_data=NUM_DATA,
    step_size=step_size,
    labels=labels,
  )


jitted_update = jax.jit(update)


def test_svi_update_under_vmap_over_states():
  state, *data = float32_case()
  states = [state, float32_case(1)[0]]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
  actual = jax.jit(jax.vmap(update, (0, None, None, None)))(stacked, *data)
  assert {x.dtype for x in jax.tree.leaves(actual)} == {jnp.dtype("float32")}
  for i, s in enumerate(states):
    new = jax.tree.map(lambda x, i=i: x[i], actual)
    close(new, jitted_update(s, *data), 1e-4)


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_svi_update_takes_any_number_of_leading_axes(shape):
  state, *data = float32_case()
  num = int(np.prod(shape))
  shaped = [x[:num].reshape(*shape, x.shape[-1]) for x in data]
  expected = jitted_update(state, *(x[:num] for x in data))
  close(jitted_update(state, *shaped), expected, 1e-5)


def test_num_data_and_step_size_may_be_traced():
  state, loc, log_var, labels = float32_case()
  actual = jax.jit(
    lambda n, rho: prior.svi_update(
      state, loc, log_var, num_data=n, step_size=rho, labels=labels
    )
  )(jnp.float32(NUM_DATA), jnp.float32(0.3))
  close(actual, jitted_update(state, loc, log_var, labels), 1e-5)


def test_one_trace_over_ten_updates():
  state, *data = float32_case()
  schedule = prior.robbins_monro(0.7, 20, initial=0.1)
  traces = 0

  @jax.jit
  def step(state, loc, log_var, labels, t):
    nonlocal traces
    traces += 1
    return update(state, loc, log_var, labels, schedule(t))

  for t in range(10):
    state = step(state, *data, t)
  assert traces == 1
  assert state.factors[0].c.shape == (3,)


def test_scan_equals_a_loop():
  start, *data = float32_case()
  schedule = prior.robbins_monro(0.7, 20, initial=0.1)

  def body(state, t):
    return update(state, *data, schedule(t)), None

  actual, _ = jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(5)))(start)
  expected = start
  for t in range(5):
    expected = jitted_update(expected, *data, schedule(t))
  close(actual, expected, 1e-5)


def test_update_keeps_types_whatever_the_type_of_the_step_size():
  start, *data = float32_case()
  before = jax.tree.map(lambda x: x.dtype, start)
  for step_size in (1, 0.1, np.float64(0.1), jnp.float32(0.1)):
    new = jax.eval_shape(
      lambda state, rho=step_size: update(state, *data, rho), start
    )
    assert jax.tree.map(lambda x: x.dtype, new) == before


def test_sample_under_vmap():
  """Each key its own draw, from a t of 3 degrees of freedom."""
  p = problem(0, ((2, 3),))[0][0]
  p = p._replace(a=np.full_like(p.a, 1.5))
  state = make_state([p], dtype=jnp.float32)
  keys = jax.random.split(jax.random.key(0), 10_000)
  given = jnp.array([1])
  z, components = jax.jit(
    jax.vmap(lambda key: prior.sample(key, state, components=given))
  )(keys)
  assert np.all(components == 1)
  for d, (df, loc, scale) in enumerate(
    zip(*(x[1] for x in oracle.student_t(p)), strict=True)
  ):
    cdf = stats.t(df, loc, scale).cdf
    assert stats.kstest(np.float64(z[:, d]), cdf).pvalue > 1e-3


def test_usage_under_jit():
  state = float32_case()[0]
  close(jax.jit(prior.usage)(state), prior.usage(state), 1e-6)
