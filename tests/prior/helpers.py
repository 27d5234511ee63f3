"""Bridges between the oracle and `fmvae.prior`, and compiled functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import fmvae.prior as prior

from . import oracle

DEFAULT = oracle.Hyper()
HYPER = oracle.Hyper(m0=0.7, s0=0.4, a0=1.3, b0=0.8, c0=1.6)
SIZES = ((2, 3), (4, 5), (1, 2))  # (D_i, K_i)

responsibilities = jax.jit(prior.responsibilities)
component_logits = jax.jit(prior.component_logits)
kl_z = jax.jit(prior.kl_z)
kl_r = jax.jit(prior.kl_r)
kl_global = jax.jit(prior.kl_global)
log_prob = jax.jit(prior.log_prob)
codes = jax.jit(prior.codes)
label_log_prob = jax.jit(prior.label_log_prob)
sample = jax.jit(prior.sample, static_argnames=("shape",))
svi_update = jax.jit(
  prior.svi_update, static_argnames=("num_data", "axis_name")
)


def make_state(factors, hyper=DEFAULT, dtype=None):
  """A `PriorState` from oracle parameters."""
  dtype = dtype or jnp.result_type(float)
  params = [
    prior.MeanParams(
      **{k: jnp.asarray(v, dtype) for k, v in p._asdict().items()}
    )
    for p in factors
  ]
  return prior.from_mean_params(params, prior.Hyperprior(**hyper._asdict()))


def to_oracle(state):
  """Oracle parameters, in float64, of a `PriorState`."""
  return [
    oracle.Params(
      *(np.asarray(getattr(p, k), np.float64) for k in oracle.Params._fields)
    )
    for p in prior.mean_params(state)
  ]


@functools.cache
def problem(seed=0, sizes=SIZES, num=11):
  """Oracle factors, means, log variances and labels, all float64 NumPy."""
  rng = np.random.default_rng(seed)
  factors = [oracle.random_params(rng, d, k) for d, k in sizes]
  loc, log_var = oracle.random_data(rng, num, sum(d for d, _ in sizes))
  labels = np.stack([rng.integers(-1, k, num) for _, k in sizes], axis=-1)
  return factors, loc, log_var, labels


def close(actual, expected, tolerance=1e-10):
  """Asserts equality, relative and absolute, leaf by leaf."""
  actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
  assert len(actual) == len(expected)
  for x, y in zip(actual, expected, strict=True):
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def assert_finite(tree):
  leaves = jax.tree.leaves(tree)
  assert leaves
  for x in leaves:
    assert np.all(np.isfinite(x)), x


@functools.cache
def _along(fn, treedef):
  """Value and slope of fn at a distance from a point along a tangent."""

  def along(t, leaves, tangent):
    moved = [x + t * dx for x, dx in zip(leaves, tangent, strict=True)]
    return fn(*jax.tree.unflatten(treedef, moved))

  return jax.jit(jax.value_and_grad(along))


def directional(fn, args, key):
  """(autodiff, finite difference) of a scalar fn along a random direction."""
  leaves, treedef = jax.tree.flatten(args)
  keys = jax.random.split(key, len(leaves))
  tangent = [
    jnp.abs(x) ** 0.5 * jax.random.normal(k, x.shape, x.dtype)
    for k, x in zip(keys, leaves, strict=True)
  ]
  along, step = _along(fn, treedef), 1e-5
  ahead, behind = (along(t, leaves, tangent)[0] for t in (step, -step))
  return along(0.0, leaves, tangent)[1], (ahead - behind) / (2 * step)
