"""A wrong argument is named, with the shape that was expected and came."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from .helpers import HYPER, assert_finite, close, make_state, problem

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


@pytest.mark.parametrize("shape", [(0, 7), (3, 0, 7)])
def test_no_points(shape, state):
  none = jnp.zeros(shape)
  with raises("loc", "at least one", shape):
    traced(update)(state, none, none)
  with raises("loc", 7, "N >= K = 2", shape):
    prior.init(KEY, [(7, 2)], loc=none, log_var=none)


@pytest.mark.parametrize("wrong", [(5, 6), (5, 8), ()])
def test_last_axis_of_z(wrong, state):
  with raises("z", 7, wrong):
    prior.log_prob(state, jnp.zeros(wrong))


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_last_axis_of_labels(name, state):
  with raises("labels", 3, (5, 2)):
    traced(TAKING_LABELS[name])(state, LABELS[:, :2])


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_dtype_of_labels(name, state):
  with raises("labels", "float32"):
    traced(TAKING_LABELS[name])(state, LABELS.astype(jnp.float32))


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_labels_are_an_array(name, state):
  with raises("labels", "array", (5, 3), "list"):
    TAKING_LABELS[name](state, np.asarray(LABELS).tolist())


OUTSIDE = [(0, 3), (1, 5), (2, 1000), (1, -2)]  # (i, label), K = 3, 5, 2


@pytest.mark.parametrize("name", TAKING_LABELS)
@pytest.mark.parametrize(("i", "label"), OUTSIDE)
def test_labels_out_of_range(name, i, label, state):
  labels = LABELS.at[3, i].set(label)
  for given in (labels, np.asarray(labels)):
    with raises("labels", f"factor {i}", f"{(3, 5, 2)[i] - 1}", f"got {label}"):
      TAKING_LABELS[name](state, given)


@pytest.mark.parametrize("name", TAKING_LABELS)
@pytest.mark.parametrize(("i", "label"), OUTSIDE)
def test_traced_labels_out_of_range_are_missing(name, i, label, state):
  fn = jax.jit(TAKING_LABELS[name])
  missing = fn(state, LABELS.at[3, i].set(-1))
  assert_finite(missing)
  close(fn(state, LABELS.at[3, i].set(label)), missing, 0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32"])
def test_labels_of_any_integer_type(dtype):
  """Also where the type cannot count the components."""
  state = prior.init(KEY, [(2, 300)])
  zeros, labels = jnp.zeros((3, 2)), jnp.array([[3], [0], [127]], dtype)
  expected = jax.nn.one_hot(labels[:, 0].astype(int), 300)
  for fn in (prior.responsibilities, jax.jit(prior.responsibilities)):
    np.testing.assert_array_equal(fn(state, zeros, zeros, labels)[0], expected)


@pytest.mark.parametrize(("i", "component"), OUTSIDE)
def test_components_out_of_range(i, component, state):
  given = jnp.full((4, 3), -1).at[2, i].set(component)
  for components in (given, np.asarray(given), given[2]):
    with raises("components", f"factor {i}", f"got {component}"):
      prior.sample(KEY, state, (4,), components)


def test_one_component_for_all_factors_out_of_range(state):
  with raises("components", "factor 2", "to 1", "got 2"):
    prior.sample(KEY, state, (4,), jnp.array(2))


@pytest.mark.parametrize(("i", "component"), OUTSIDE)
def test_traced_components_out_of_range_are_drawn(i, component, state):
  draw = jax.jit(lambda components: prior.sample(KEY, state, (4,), components))
  given = jnp.full((4, 3), -1)
  drawn = draw(given)
  assert_finite(drawn)
  close(draw(given.at[2, i].set(component)), drawn, 0)


def test_components(state):
  with raises("components", 3, (5, 2)):
    prior.sample(KEY, state, shape=(5,), components=LABELS[:, :2])
  with raises("components", "float32"):
    prior.sample(KEY, state, (5,), LABELS.astype(jnp.float32))
  with raises("components", (4, 3), (5, 3)):
    prior.sample(KEY, state, shape=(4,), components=LABELS)


@pytest.mark.parametrize(
  "step_size",
  [2, -0.1, float("nan"), np.float32(1.5), np.array(-1), jnp.array(1.5)],
)
def test_step_size(step_size, state):
  with raises("step_size", "[0, 1]", step_size):
    update(state, POINT, POINT, step_size=step_size)


@pytest.mark.parametrize("step_size", [0, 1, np.float64(0.0), jnp.array(1.0)])
def test_ends_of_step_size(step_size, state):
  assert_finite(update(state, POINT, POINT, step_size=step_size))


@pytest.mark.parametrize(
  "num_data",
  [
    *(0, -3, np.float32(-5), np.zeros((), int), jnp.array(-5.0)),
    *(float("nan"), float("inf"), np.float32("inf"), 1e39),
  ],
)
def test_num_data(num_data, state):
  with raises("num_data", num_data):
    update(state, POINT, POINT, num_data=num_data)
  with raises("num_data", num_data):
    prior.init(KEY, [(2, 3)], num_data=num_data)


@pytest.mark.parametrize("name", TAKING_LABELS)
def test_values_are_looked_at_outside_a_trace_alone(name, state):
  """A label that a trace closes over is known; one that it takes is not."""
  fn = TAKING_LABELS[name]
  wrong = LABELS.at[3, 0].set(3)
  with raises("labels", "factor 0"):
    jax.eval_shape(lambda state: fn(state, wrong), state)
  jax.eval_shape(fn, state, wrong)
