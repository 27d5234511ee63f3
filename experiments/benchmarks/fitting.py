"""The prior alone against scikit-learn's BayesianGaussianMixture.

Points of 64 overlapping Gaussians in 16 dimensions. scikit-learn fits a sample
of 100,000 at once, as it comes (k-means start, 100 iterations at most); ours,
`prior.fit` as it comes, reads a file of 1,000,000 in batches until its bound
stands still.

  python -m experiments.benchmarks.fitting FILE N   # peak memory, in MB
"""

import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.measure import Row, ratio
from fmvae import prior

_D, _K = 16, 64
_NUM, _SAMPLE, _HELD_OUT = 1_000_000, 100_000, 10_000
_BATCH = 4096
_CLOSE = 0.01  # nats


def draw(num: int, seed: int) -> np.ndarray:
  """Points `[num, D]` of the one true mixture."""
  rng = np.random.default_rng(0)
  means = rng.normal(0, 0.5, (_K, _D))
  stds = np.sqrt(rng.gamma(4, 0.25, (_K, _D)))
  weights = rng.dirichlet(np.full(_K, 2.0))
  rng = np.random.default_rng([0, seed])
  k = rng.choice(_K, num, p=weights)
  points = means[k] + stds[k] * rng.normal(size=(num, _D))
  return points.astype(np.float32)


def fit(path: pathlib.Path, num: int) -> prior.Fit:
  """`prior.fit` of the first `num` points of a file, over and over."""

  def batches() -> Iterator[np.ndarray]:
    size, first = 4 * _D * _BATCH, 0
    while True:
      points = np.fromfile(path, np.float32, _D * _BATCH, offset=first * size)
      yield points.reshape(-1, _D)
      first = (first + 1) % (num // _BATCH)

  return prior.fit(jax.random.key(0), batches(), [(_D, _K)], num_data=num)


def scikit_learn(points: np.ndarray) -> prior.PriorState:
  """Its mixture as a state of ours that is sure of it."""
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.mixture import BayesianGaussianMixture

  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    fitted = BayesianGaussianMixture(
      n_components=_K,
      covariance_type="diag",
      weight_concentration_prior_type="dirichlet_distribution",
      weight_concentration_prior=1.0,
      random_state=0,
    ).fit(points)
  sure = np.full((_K, _D), 1e6)
  arrays = {
    "m": fitted.means_,
    "s": sure,
    "a": sure,
    "b": sure * fitted.covariances_,
    "c": 1e6 * fitted.weights_,
  }
  params = {name: jnp.asarray(x, jnp.float32) for name, x in arrays.items()}
  return prior.from_mean_params([prior.MeanParams(**params)])


def fitting(rounds: int) -> list[Row]:
  """Time of the two, the held-out log density that they reach; memory."""
  held_out, sample = draw(_HELD_OUT, 1), draw(_SAMPLE, 2)
  log_prob = jax.jit(lambda state, x: jnp.mean(prior.log_prob(state, x)))
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "points.f32"
    with path.open("wb") as f:
      for seed in range(10):
        draw(_NUM // 10, 3 + seed).tofile(f)
    ours, again, theirs, better = [], [], [], []
    for _ in range(rounds):
      begin = time.perf_counter()
      state = scikit_learn(sample)
      theirs.append(time.perf_counter() - begin)
      _check_same(state, held_out[:100], log_prob)
      goal = float(log_prob(state, held_out))
      jax.clear_caches()  # compilation counts
      begin = time.perf_counter()
      fitted = jax.block_until_ready(fit(path, _NUM).state)
      ours.append(time.perf_counter() - begin)
      better.append(goal - float(log_prob(fitted, held_out)))
      begin = time.perf_counter()
      jax.block_until_ready(fit(path, _NUM).state)
      again.append(time.perf_counter() - begin)
    memory = {num: _memory(path, num) for num in (_NUM // 10, _NUM)}
  what = "1,000,000 points, D = 16, K = 64"
  return [
    Row(f"{what}: ours / scikit-learn", ratio(ours, theirs), "", 0.1),
    Row("ours, compilation included", ours, "s"),
    Row("ours, compiled before", again, "s"),
    Row("BayesianGaussianMixture on 100,000 of them", theirs, "s"),
    Row("its held-out log density less ours", better, "nats", _CLOSE),
    Row(
      "peak memory for 1,000,000 points / for 100,000",
      [memory[_NUM] / memory[_NUM // 10]],
      "",
      1.02,
    ),
    Row("peak memory", [memory[_NUM]], "MB"),
  ]


def _check_same(state, points, log_prob) -> None:
  """Raises AssertionError unless `log_prob` is the mixture's log density."""
  (f,) = state.factors
  variance = f.b / f.a
  each = -0.5 * jnp.sum(
    (points[:, None] - f.m) ** 2 / variance + jnp.log(2 * jnp.pi * variance),
    -1,
  )
  density = jax.nn.logsumexp(each + jnp.log(f.c / jnp.sum(f.c)), -1)
  np.testing.assert_allclose(log_prob(state, points), density.mean(), atol=1e-3)


def _memory(path: pathlib.Path, num: int) -> float:
  command = [sys.executable, "-m", "experiments.benchmarks.fitting"]
  done = subprocess.run(
    [*command, str(path), str(num)], check=True, capture_output=True, text=True
  )
  return float(done.stdout)


def main(path: str, num: str) -> None:
  jax.block_until_ready(fit(pathlib.Path(path), int(num)).state)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
  print(1024 * peak / 1e6)


if __name__ == "__main__":
  main(*sys.argv[1:])
