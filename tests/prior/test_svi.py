import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fmvae.prior as prior

from . import oracle
from .helpers import (
  HYPER,
  close,
  kl_global,
  kl_r,
  kl_z,
  make_state,
  problem,
  responsibilities,
  svi_update,
  to_oracle,
)


@pytest.mark.usefixtures("x64")
class TestUpdate:
  @pytest.mark.parametrize("step_size", [0.01, 0.37, 1.0])
  @pytest.mark.parametrize(
    ("hyper", "with_labels"), [(oracle.Hyper(), False), (HYPER, True)]
  )
  def test_against_natural_parameters(self, hyper, step_size, with_labels):
    factors, loc, log_var, labels = problem()
    labels = labels if with_labels else None
    state = svi_update(
      make_state(factors, hyper),
      loc,
      log_var,
      num_data=57,
      step_size=step_size,
      labels=labels,
    )
    expected = oracle.svi_update(
      factors, hyper, loc, log_var, 57, step_size, labels
    )
    close(to_oracle(state), expected)

  def test_many_updates_in_a_row(self):
    factors, loc, log_var, labels = problem()
    state = make_state(factors, HYPER)
    for t in range(20):
      step_size = (2 + t) ** -0.7
      state = svi_update(
        state, loc, log_var, num_data=57, step_size=step_size, labels=labels
      )
      factors = oracle.svi_update(
        factors, HYPER, loc, log_var, 57, step_size, labels
      )
    close(to_oracle(state), factors, 1e-9)

  def test_step_of_zero_changes_nothing(self):
    factors, loc, log_var, labels = problem()
    state = make_state(factors, HYPER)
    new = svi_update(
      state, loc, log_var, num_data=57, step_size=0.0, labels=labels
    )
    assert new.hyperprior == state.hyperprior
    close(new, state, 1e-14)

  def test_step_of_one_forgets_the_state(self):
    """With every label given nothing of the old state is left."""
    factors, loc, log_var, labels = problem()
    labels = np.maximum(labels, 0)
    others = problem(9)[0]
    new, same = (
      svi_update(
        make_state(p, HYPER),
        loc,
        log_var,
        num_data=57,
        step_size=1.0,
        labels=labels,
      )
      for p in (factors, others)
    )
    close(new, same, 1e-10)

  def test_step_of_one_reaches_the_optimum_of_the_batch(self):
    """The gradient of the batch's ELBO for q(mu, alpha) q(pi) vanishes."""
    factors, loc, log_var, labels = problem()
    state = make_state(factors, HYPER)
    resp = responsibilities(state, loc, log_var, labels)

    @jax.jit
    @jax.grad
    def gradient(state):
      local = prior.kl_z(state, loc, log_var, resp) + prior.kl_r(state, resp)
      total = 57 / len(loc) * jnp.sum(local)
      return total + jnp.sum(prior.kl_global(state))

    new = svi_update(
      state, loc, log_var, num_data=57, step_size=1.0, labels=labels
    )
    assert max(np.max(np.abs(x)) for x in jax.tree.leaves(gradient(state))) > 1
    close(gradient(new), jax.tree.map(np.zeros_like, new), 1e-8)

  def test_component_without_points_is_the_hyperprior(self):
    factors, loc, log_var, labels = problem()
    labels = np.zeros_like(labels)
    new = svi_update(
      make_state(factors, HYPER),
      loc,
      log_var,
      num_data=57,
      step_size=1.0,
      labels=labels,
    )
    for p, (d, k) in zip(to_oracle(new), ((2, 3), (4, 5), (1, 2)), strict=True):
      expected = oracle.prior_params(HYPER, d, k)
      close([x[1:] for x in p], [x[1:] for x in expected], 1e-12)

  def test_full_batch_sweeps_never_lower_the_elbo(self):
    factors, loc, log_var, _ = problem(4, ((2, 6),), 60)
    state, num = make_state(factors), len(loc)

    def elbo(state, resp):
      local = kl_z(state, loc, log_var, resp) + kl_r(state, resp)
      return -float(np.sum(local) + np.sum(kl_global(state)))

    resp = responsibilities(state, loc, log_var)
    trace = [elbo(state, resp)]
    for _ in range(30):
      state = svi_update(state, loc, log_var, num_data=num, step_size=1.0)
      trace.append(elbo(state, resp))
      resp = responsibilities(state, loc, log_var)
      trace.append(elbo(state, resp))
    assert np.all(np.diff(trace) > -1e-9 * np.abs(trace[-1]))
    # Both halves of a sweep improve something.
    assert np.all(np.diff(trace[:5]) > 1e-3)


@functools.partial(jax.jit, static_argnames="parts")
def split_update(state, loc, log_var, labels, parts):
  def part(loc, log_var, labels):
    return prior.svi_update(
      state,
      loc,
      log_var,
      num_data=57,
      step_size=0.3,
      labels=labels,
      axis_name="devices",
    )

  cut = [x.reshape(parts, -1, x.shape[-1]) for x in (loc, log_var, labels)]
  return jax.vmap(part, axis_name="devices")(*cut)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_split_batch_equals_whole_batch(x64, offset):
  """Also where the parts lie apart: the split must not change the sums."""
  factors, loc, log_var, labels = problem(6, num=12)
  factors = [p._replace(m=p.m + offset) for p in factors]
  order = np.argsort(loc[:, 0])
  data = (loc[order] + offset, log_var[order], labels[order])
  state = make_state(factors, HYPER)
  whole = oracle.svi_update(
    factors, HYPER, *data[:2], num_data=57, step_size=0.3, labels=data[2]
  )
  split = split_update(state, *data, parts=3)
  for i in range(3):
    one = jax.tree.map(lambda x, i=i: x[i], split)
    close(to_oracle(one), whole, 1e-9)


@jax.jit
def run(state, stream):
  """The last state of a stream of batches, and the lowest b at each."""

  def step(state, x):
    loc, log_var, labels, step_size = x
    state = prior.svi_update(
      state,
      loc,
      log_var,
      num_data=TestFloat32Stability.num_data,
      step_size=step_size,
      labels=labels,
    )
    return state, jnp.min(prior.mean_params(state)[0].b)

  return jax.lax.scan(step, state, stream)


class TestFloat32Stability:
  """300 updates on clusters a thousand standard deviations away.

  lambda2 holds s m^2 / 2, here 10^6 times as large as b, so that a float32
  update of the natural parameters keeps no digit of b.
  """

  num_data, steps = 10_000, 300
  hyper = oracle.Hyper(s0=1e-6)

  def stream(self, offset, sd, mixed, kind):
    """Batches around the start's clusters, all float32.

    Clusters lie around one point, or at +offset and -offset in each
    dimension; those of the same signs lie well apart or overlap.
    """
    rng = np.random.default_rng(0)
    shape = (8, 6)
    signs = np.tile(rng.choice([-1, 1], (4, 6)), (2, 1)) if mixed else 1.0
    spread = 0.5 * sd if kind == "overlapping" else 6 * sd
    centres = offset * signs + spread * rng.normal(size=shape)
    labels = rng.integers(8, size=(self.steps, 64, 1))
    loc = centres[labels[..., 0]]
    loc = loc + sd * rng.normal(size=loc.shape)
    loc = loc.astype(np.float32)
    log_var = np.full_like(loc, 2 * np.log(0.1 * sd))
    points = self.num_data / 8 * np.ones(shape)
    start = oracle.Params(
      centres + 0.3 * sd * rng.normal(size=shape),
      points,
      points / 2,
      points / 2 * (2 * sd) ** 2,
      points[:, 0],
    )
    start = oracle.Params(*(x.astype(np.float32) for x in start))
    return start, loc, log_var, labels if kind == "labelled" else None

  def step_size(self, t):
    return 0.01 * (1 + t / 2000) ** -0.7

  def reference(self, start, loc, log_var, labels):
    factors = [oracle.Params(*(x.astype(np.float64) for x in start))]
    for t in range(self.steps):
      factors = oracle.svi_update(
        factors,
        self.hyper,
        loc[t].astype(np.float64),
        log_var[t].astype(np.float64),
        self.num_data,
        self.step_size(t),
        None if labels is None else labels[t],
      )
    return factors[0]

  @pytest.mark.parametrize("kind", ["apart", "overlapping", "labelled"])
  @pytest.mark.parametrize("mixed", [False, True])
  @pytest.mark.parametrize(("offset", "sd"), [(1000.0, 1.0), (100.0, 0.1)])
  def test_b_agrees_with_float64(self, offset, sd, mixed, kind):
    start, loc, log_var, labels = self.stream(offset, sd, mixed, kind)
    steps = self.step_size(np.arange(self.steps)).astype(np.float32)
    given = np.full((*loc.shape[:2], 1), -1) if labels is None else labels
    state = make_state([start], self.hyper, jnp.float32)
    state, lowest = run(state, (loc, log_var, given, steps))
    actual = prior.mean_params(state)[0]
    assert actual.b.dtype == jnp.float32
    assert np.all(lowest > 0)
    expected = self.reference(start, loc, log_var, labels)
    # The reference has learned the spread of the clusters.
    variance = expected.b / expected.a
    assert np.all((0.5 * sd**2 < variance) & (variance < 3 * sd**2))
    error = np.abs(np.asarray(actual.b, np.float64) / expected.b - 1)
    assert np.median(error) < 0.02
    np.testing.assert_allclose(actual.m, expected.m, atol=0.05 * sd)


class TestRobbinsMonro:
  @pytest.mark.parametrize(("kappa", "tau0"), [(0.7, 2000), (1.0, 1.0)])
  def test_plain(self, kappa, tau0):
    schedule = prior.robbins_monro(kappa, tau0)
    for step in (0, 1, 17, 100_000):
      expected = (tau0 + step) ** -kappa
      np.testing.assert_allclose(schedule(step), expected, rtol=1e-5)

  @pytest.mark.parametrize(("kappa", "initial"), [(0.7, 0.01), (0.52, 0.3)])
  def test_scaled_to_an_initial_fraction(self, kappa, initial):
    schedule = prior.robbins_monro(kappa, 2000, initial=initial)
    for step in (0, 1, 17, 100_000):
      expected = initial * (1 + step / 2000) ** -kappa
      np.testing.assert_allclose(schedule(step), expected, rtol=1e-5)

  def test_never_above_one(self):
    schedule = prior.robbins_monro(0.7, 0)
    np.testing.assert_array_equal([schedule(0), schedule(1)], [1.0, 1.0])
    np.testing.assert_allclose(schedule(2), 2**-0.7, rtol=1e-5)
    assert prior.robbins_monro(0.7, 0.1)(0) == 1.0

  @pytest.mark.parametrize("initial", [None, 0.01])
  def test_takes_traced_integer_steps(self, initial):
    schedule = prior.robbins_monro(0.7, 2000, initial)
    steps = jnp.arange(5)
    out = jax.jit(jax.vmap(schedule))(steps)
    assert out.dtype == jnp.float32
    close(out, np.array([schedule(int(t)) for t in steps]), 1e-6)

  @pytest.mark.parametrize("kappa", [0.5, 1.01, -0.7])
  def test_kappa_outside_its_range(self, kappa):
    with pytest.raises(ValueError, match="kappa"):
      prior.robbins_monro(kappa, 2000)

  def test_tau0_outside_its_range(self):
    with pytest.raises(ValueError, match="tau0"):
      prior.robbins_monro(0.7, -1)
    with pytest.raises(ValueError, match="tau0"):
      prior.robbins_monro(0.7, 0, initial=0.01)
