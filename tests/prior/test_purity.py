import ast
import dataclasses
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import fmvae.prior as prior

from .helpers import HYPER, make_state, problem

PROBE = """
import sys
import jax
import jax.numpy
settings = dict(jax.config.values)
import fmvae.prior
assert dict(jax.config.values) == settings
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("fmvae.")))
"""
HEAVY = {
  "absl",
  "array_record",
  "chex",
  "cv2",
  "distrax",
  "flax",
  "matplotlib",
  "ml_collections",
  "optax",
  "orbax",
  "PIL",
  "sklearn",
  "tensorboardX",
  "tensorflow",
  "tensorflow_datasets",
  "tensorflow_probability",
  "tqdm",
}


def test_import_loads_jax_alone_and_changes_no_setting():
  result = subprocess.run(
    [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
  )
  loaded, own = (set(line.split()) for line in result.stdout.splitlines())
  assert "jax" in loaded
  assert not HEAVY & loaded
  assert all(name.startswith("fmvae.prior") for name in own)


def test_sources_import_jax_and_the_standard_library_alone():
  folder = pathlib.Path(prior.__file__).parent
  sources = sorted(folder.glob("**/*.py"))
  assert len(sources) > 1
  allowed = {"jax", "numpy"} | sys.stdlib_module_names
  for source in sources:
    for node in ast.walk(ast.parse(source.read_text())):
      if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
      elif isinstance(node, ast.ImportFrom) and node.level == 0:
        names = [node.module]
      else:
        continue
      for name in names:
        own = name == "fmvae.prior" or name.startswith("fmvae.prior.")
        assert own or name.partition(".")[0] in allowed, (source.name, name)


NAMES = {
  "Hyperprior",
  "MeanParams",
  "PriorState",
  "codes",
  "component_logits",
  "from_mean_params",
  "init",
  "kl_global",
  "kl_r",
  "kl_z",
  "label_log_prob",
  "log_prob",
  "mean_params",
  "responsibilities",
  "robbins_monro",
  "sample",
  "svi_update",
  "usage",
}


def test_public_names():
  assert set(prior.__all__) >= NAMES
  for name in prior.__all__:
    assert getattr(prior, name).__doc__, name


def test_default_hyperprior():
  expected = {"m0": 0.0, "s0": 1.0, "a0": 0.01, "b0": 0.01, "c0": 1.0}
  assert dataclasses.asdict(prior.Hyperprior()) == expected
  with pytest.raises(dataclasses.FrozenInstanceError):
    prior.Hyperprior().m0 = 1.0


class TestState:
  def state(self):
    return make_state(problem()[0], HYPER, jnp.float32)

  def test_frozen(self):
    state = self.state()
    with pytest.raises(dataclasses.FrozenInstanceError):
      state.factors = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
      state.factors[0].m = jnp.zeros(())
    assert isinstance(state.factors, tuple)

  def test_leaves_are_arrays(self):
    leaves = jax.tree.leaves(self.state())
    assert len(leaves) == 5 * 3
    assert all(isinstance(x, jax.Array) for x in leaves)

  def test_flatten_and_unflatten(self):
    state = self.state()
    leaves, treedef = jax.tree.flatten(state)
    again = jax.tree.unflatten(treedef, leaves)
    assert type(again) is prior.PriorState
    assert again.hyperprior == state.hyperprior
    for x, y in zip(leaves, jax.tree.leaves(again), strict=True):
      assert x is y

  def test_hyperprior_is_static(self):
    other = make_state(problem()[0], dtype=jnp.float32)
    assert jax.tree.structure(other) != jax.tree.structure(self.state())
    assert hash(self.state().hyperprior) != hash(other.hyperprior)

  def test_copies_of_a_state_share_a_compilation(self):
    traces = 0

    @jax.jit
    def fn(state):
      nonlocal traces
      traces += 1
      return state.factors[0].c + state.hyperprior.c0

    fn(self.state())
    fn(self.state())
    assert traces == 1


def test_states_are_compared_by_value():
  state, same = (make_state(problem()[0], HYPER, jnp.float32) for _ in "ab")
  assert state == same
  assert state.factors[0] == same.factors[0]
  (f, *rest) = state.factors
  other = dataclasses.replace(f, m=f.m + 1)
  assert state != prior.from_mean_params((other, *rest), state.hyperprior)
  assert state != prior.from_mean_params(state.factors)  # another hyperprior
  assert state != prior.from_mean_params(state.factors[:2], state.hyperprior)
  assert state != 5


def test_a_short_repr():
  state = make_state(problem()[0], HYPER, jnp.float32)
  assert repr(state) == "<PriorState of (D, K) = (2, 3), (4, 5), (1, 2)>"
  assert repr(state.factors[1]) == "<MeanParams of (D, K) = (4, 5)>"
  repr(jax.tree.map(lambda _: None, state))


@pytest.mark.parametrize("has_units", [False, True])
def test_flax_serialises_a_state(has_units):
  from flax import serialization

  state = make_state(problem()[0], HYPER, jnp.float32)
  units = prior.Units(jnp.zeros(7), jnp.ones(7)) if has_units else None
  state = dataclasses.replace(state, units=units)
  blank = prior.init(jax.random.key(0), [(2, 3), (4, 5), (1, 2)])
  blank = prior.from_mean_params(blank.factors, state.hyperprior)
  assert blank != state
  saved = serialization.to_bytes({"prior": state})
  assert serialization.from_bytes({"prior": blank}, saved)["prior"] == state
