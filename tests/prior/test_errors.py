"""A wrong argument is named, with the shape that was expected and came."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from .helpers import HYPER, make_state, problem

KEY = jax.random.key(0)
POINT = jnp.zeros((5, 7))
LABELS = jnp.zeros((5, 3), jnp.int32)


@pytest.fixture(scope="module")
def state():
  return make_state(problem()[0], HYPER, jnp.float32)


def raises(name, *parts):
  """A ValueError that holds the name and each part, in any order."""
  wanted = [rf"(?=.*\b{re.escape(name)}\b)"]
  wanted += [rf"(?=.*{re.escape(str(part))})" for part in parts]
  return pytest.raises(ValueError, match="(?s)^" + "".join(wanted))


def traced(fn):
  """The checks stand on shapes: a trace finds what a call would."""
  return lambda *args: jax.eval_shape(fn, *args)


def update(state, loc, log_var, **kwargs):
  options = {"num_data": 9, "step_size": 0.5} | kwargs
  return prior.svi_update(state, loc, log_var, **options)


# Functions of (state, loc, log_var).
TAKING_POINTS = {
  "responsibilities": prior.responsibilities,
  "component_logits": prior.component_logits,
  "codes": prior.codes,
  "svi_update": update,
  "label_log_prob": lambda s, u, v: prior.label_log_prob(s, u, v, LABELS),
  "kl_z": lambda s, u, v: prior.kl_z(
    s, u, v, tuple(jnp.ones((5, k)) / k for k in (3, 5, 2))
  ),
}
# Functions of (state, labels).
TAKING_LABELS = {
  "responsibilities": lambda s, y: prior.responsibilities(s, POINT, POINT, y),
  "label_log_prob": lambda s, y: prior.label_log_prob(s, POINT, POINT, y),
  "svi_update": lambda s, y: update(s, POINT, POINT, labels=y),
}


@pytest.mark.parametrize("size", [(0, 3), (2, 0), (-1, 3)])
def test_factors(size):
  with raises("factors"):
    prior.init(KEY, [(2, 3), size])


@pytest.mark.parametrize("name", TAKING_POINTS)
def test_last_axis_of_loc(name, state):
  wrong = jnp.zeros((5, 6))
  with raises("loc", 7, (5, 6)):
    traced(TAKING_POINTS[name])(state, wrong, wrong)


@pytest.mark.parametrize("name", TAKING_POINTS)
def test_log_var_unlike_loc(name, state):
  with raises("log_var", 7, (5, 6)):
    traced(TAKING_POINTS[name])(state, POINT, jnp.zeros((5, 6)))
  with raises("log_var", (5, 7), (4, 7)):
    traced(TAKING_POINTS[name])(state, POINT, jnp.zeros((4, 7)))


def test_data_of_init():
  with raises("loc", 7, (5, 6)):
    prior.init(KEY, [(7, 2)], loc=jnp.ones((5, 6)), log_var=jnp.ones((5, 6)))
  with raises("log_var", (5, 7), (4, 7)):
    prior.init(KEY, [(7, 2)], loc=POINT, log_var=POINT[:4])


def test_last_axis_of_z(state):
  with raises("z", 7, (5, 6)):
    prior.log_prob(state, jnp.zeros((5, 6)))


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_last_axis_of_labels(name, state):
  with raises("labels", 3, (5, 2)):
    traced(TAKING_LABELS[name])(state, LABELS[:, :2])


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_dtype_of_labels(name, state):
  with raises("labels", "float32"):
    traced(TAKING_LABELS[name])(state, LABELS.astype(jnp.float32))


def test_components(state):
  with raises("components", 3, (5, 2)):
    prior.sample(KEY, state, shape=(5,), components=LABELS[:, :2])
  with raises("components", "float32"):
    prior.sample(KEY, state, (5,), LABELS.astype(jnp.float32))
  with raises("components", (4, 3), (5, 3)):
    prior.sample(KEY, state, shape=(4,), components=LABELS)


@pytest.mark.parametrize(
  "num_data",
  [0, -3, float("nan"), np.float32(-5), np.zeros((), int), jnp.array(-5.0)],
)
def test_num_data(num_data, state):
  with raises("num_data", num_data):
    update(state, POINT, POINT, num_data=num_data)
  with raises("num_data", num_data):
    prior.init(KEY, [(2, 3)], num_data=num_data)
