"""Encodings of lower precision are computed with in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from .helpers import HYPER, assert_finite, make_state, problem, svi_update

NUM_DATA = 200_000  # more than float16 can hold
SIZES = ((2, 3), (4, 16))
HALF = ("float16", "bfloat16")


@functools.cache
def case(dtype):
  """A float32 state, encodings of the given type, and labels."""
  factors, loc, log_var, labels = problem(0, SIZES, 64)
  state = make_state(factors, HYPER, jnp.float32)
  loc, log_var = (jnp.asarray(x, dtype) for x in (loc, log_var))
  return state, loc, log_var, jnp.asarray(labels)


@jax.jit
def everything(state, loc, log_var, labels):
  resp = prior.responsibilities(state, loc, log_var, labels)
  return {
    "responsibilities": resp,
    "component_logits": prior.component_logits(state, loc, log_var),
    "kl_z": prior.kl_z(state, loc, log_var, resp),
    "log_prob": prior.log_prob(state, loc),
    "codes": prior.codes(state, loc, log_var).astype(jnp.float32),
    "label_log_prob": prior.label_log_prob(state, loc, log_var, labels),
    "svi_update": prior.svi_update(
      state, loc, log_var, num_data=NUM_DATA, step_size=0.3, labels=labels
    ),
    "init": prior.init(
      jax.random.key(0), SIZES, loc=loc, log_var=log_var, num_data=NUM_DATA
    ),
  }


@pytest.mark.parametrize("dtype", HALF)
def test_equals_float32_of_the_same_values(dtype):
  state, loc, log_var, labels = case(dtype)
  actual = everything(state, loc, log_var, labels)
  assert {x.dtype.name for x in jax.tree.leaves(actual)} == {"float32"}
  assert_finite(actual)
  single = [x.astype(jnp.float32) for x in (loc, log_var)]
  expected = everything(state, *single, labels)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("dtype", HALF)
def test_every_point_is_counted(dtype):
  state, loc, log_var, _ = case(dtype)
  new = svi_update(state, loc, log_var, num_data=NUM_DATA, step_size=1.0)
  for f in new.factors:
    counted = jnp.sum(f.c - HYPER.c0)
    np.testing.assert_allclose(counted, NUM_DATA, rtol=1e-5)


@pytest.mark.parametrize("dtype", HALF)
def test_gradients_return_in_the_given_type(dtype):
  state, loc, log_var, labels = case(dtype)

  @jax.jit
  @functools.partial(jax.grad, argnums=(0, 1))
  def gradients(loc, log_var):
    out = everything(state, loc, log_var, labels)
    return jnp.sum(out["kl_z"]) - jnp.sum(out["log_prob"])

  grads = gradients(loc, log_var)
  assert {x.dtype.name for x in grads} == {dtype}
  assert_finite(grads)
  single = [x.astype(jnp.float32) for x in (loc, log_var)]
  expected = gradients(*single)
  for x, y in zip(grads, expected, strict=True):
    # What returns from each function is rounded before it is added.
    tolerance = 4 * float(jnp.finfo(dtype).eps) * float(jnp.max(jnp.abs(y)))
    np.testing.assert_allclose(x.astype(jnp.float32), y, atol=tolerance)


def test_double_precision_stays(x64):
  state, loc, log_var, labels = case("float32")
  loc, log_var = (x.astype(jnp.float64) for x in (loc, log_var))
  out = jax.eval_shape(everything, state, loc, log_var, labels)
  del out["codes"]
  assert {x.dtype.name for x in jax.tree.leaves(out)} == {"float64"}
