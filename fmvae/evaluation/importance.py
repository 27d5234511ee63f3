"""The log likelihood log p_Q(x), estimated by importance sampling.

With z integrated out under the exact marginal prior p_Q (Sec. 2.6-2.7) and
q(z|x) as the proposal,

  log p_Q(x) ~ log 1/S sum_s p(x|z_s) p_Q(z_s) / q(z_s|x),   z_s ~ q(z|x),

below the truth on average, by less the larger S (Burda et al. 2016). It is
another number than eq. 11, which `bound` computes.

The effective sample size of an image, 1 / sum_s w_s^2 for weights that sum to
one, says how many of the draws bear its estimate: 1 to S.

Of a part of the test set, what the estimate is above the bound of eq. 11 varies
far less from image to image than either. The bound of all images and that
difference on the part tell the NLL of all much closer than the part alone.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from tqdm import tqdm

from fmvae import likelihoods
from fmvae.data import Split
from fmvae.data.random import permutation
from fmvae.evaluation.bound import score_images
from fmvae.model import Model, TrainState
from fmvae.model.model import slices
from fmvae.prior.stirling import LOG_2PI

_BATCH_SIZE, _CHUNK = 100, 50  # images, and draws of z for each, at a time
_BOUND_SAMPLES = 10  # draws of z for the bound of each image
_LINE_EVERY = 60.0  # seconds, where there is no terminal for a bar
_SEED = 3  # of the noise for z: the same for every estimate of every run


@dataclasses.dataclass(frozen=True)
class ImportanceEstimate:
  """The average of -log p_Q(x) over a test set, in nats per image."""

  nll: float
  nll_stderr: float  # over test images alone; the weights add to it
  samples: int  # S
  effective_samples: float  # mean over images
  effective_samples_decile: float  # a tenth of the images has fewer
  images: int  # that it is the average of
  test_images: int  # of the whole test set
  nll_of_all: float  # `nll`, told for the whole test set by its bound
  nll_of_all_stderr: float  # 0 where it is made on the whole

  def __str__(self) -> str:
    some = of_all = ""
    if self.images < self.test_images:
      some = f", {self.images:,} of {self.test_images:,} test images"
      of_all = (
        f"  for all, by their bound: {self.nll_of_all:.2f} +-"
        f" {self.nll_of_all_stderr:.2f}\n"
      )
    return (
      f"NLL {self.nll:.2f} +- {self.nll_stderr:.2f} nats (importance-sampled,"
      f" S = {self.samples:,}{some})\n{of_all}"
      f"  effective sample size {self.effective_samples:,.1f} on average, below"
      f" {self.effective_samples_decile:,.1f} for a tenth of the images"
    )


def log_likelihood(
  model: Model,
  params: Mapping[str, Any],
  log_prior: Callable[[Array], Array],
  keys: Array,
  x: Array,
  num_samples: int,
  chunk: int,
) -> tuple[Array, Array]:
  """Importance-sampled log p_Q(x) (eq. 9, Sec. 2.6-2.7).

  Memory grows with `chunk` alone, not with S.

  An image has the same draws whatever the chunk and the rest of its batch.

  Args:
    model: the networks and the likelihood.
    params: their parameters.
    log_prior: log density of z, `[..., L]` -> `[...]`.
    keys: one PRNG key for each image, `[B]`.
    x: float images `[B, H, W, C]`.
    num_samples: S, draws of z per image.
    chunk: draws taken at once; need not divide S.

  Returns:
    `[B]` in nats, and the effective sample sizes `[B]`, 1 to S; not a number
    where all weights are zero.
  """
  loc, log_var = model.vae.encode(params, x)
  scale = jnp.exp(0.5 * log_var)
  chunk = min(chunk, num_samples)

  def log_weights(draws: Array) -> Array:
    """log p(x|z) p_Q(z) / q(z|x) `[chunk, B]` of draws number `[chunk]`."""
    noise = jax.vmap(lambda s: _noise(keys, s, loc.shape[-1:]))(draws)
    z = loc[None] + scale[None] * noise
    log_q = -0.5 * jnp.sum(noise**2 + log_var[None] + LOG_2PI, -1)
    log_p = _log_likelihood_of(model, model.vae.decode(params, z), x[None])
    log_w = log_p + log_prior(z) - log_q
    return jnp.where((draws < num_samples)[:, None], log_w, -jnp.inf)

  def add(i: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
    """Carries the largest log weight and sums in units of that weight.

    Of the weights, and of their squares.
    """
    old_max, total, squares = carry
    log_w = log_weights(i * chunk + jnp.arange(chunk))
    new_max = jnp.maximum(old_max, jnp.max(log_w, 0))
    unit = jnp.where(jnp.isfinite(new_max), new_max, 0)
    new = jnp.exp(log_w - unit[None])
    shrink = jnp.exp(old_max - unit)
    total = total * shrink + jnp.sum(new, 0)
    squares = squares * shrink**2 + jnp.sum(new**2, 0)
    return new_max, total, squares

  zero = jnp.zeros(len(x))
  start = (jnp.full(len(x), -jnp.inf), zero, zero)
  num_chunks = -(-num_samples // chunk)
  log_max, total, squares = lax.fori_loop(0, num_chunks, add, start)
  log_p = log_max + jnp.log(total) - jnp.log(float(num_samples))
  return log_p, total**2 / squares


def _log_likelihood_of(model: Model, raw: Array, x: Array) -> Array:
  """log p(x|z) `[...]`, for zeros and ones in a quicker form.

  One logarithm a pixel and a sum along one axis, which XLA's CPU backend takes
  with vector instructions: a twentieth of `Bernoulli.log_prob`'s time.
  """
  if not isinstance(model.likelihood, likelihoods.Bernoulli):
    return model.likelihood.log_prob(raw, x)
  logits, bits = (v.reshape(*v.shape[:-3], -1) for v in (raw, x))
  softplus = jnp.maximum(logits, 0) + jnp.log(1 + jnp.exp(-jnp.abs(logits)))
  return jnp.sum(bits * logits - softplus, -1)


def _noise(keys: Array, draw: Array, shape: tuple[int, ...]) -> Array:
  """Standard normal `[B, *shape]`, a function of each key and the draw."""
  keys = jax.vmap(jax.random.fold_in, (0, None))(keys, draw)
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def importance_nll(
  model: Model,
  state: TrainState,
  test: Split,
  num_samples: int = 5000,
  num_images: int | None = None,
) -> ImportanceEstimate:
  """Estimates the negative log likelihood of a test set (eq. 9).

  The standard error covers the test images alone. Importance weights have heavy
  tails, with a Student-t prior over a Gaussian proposal, and add to it.

  Args:
    model: with the prior that is in effect (`model_at`).
    state: on one device.
    test: the test set.
    num_samples: S, draws of z per image; 5,000 in the literature.
    num_images: of the test set, always the same ones, picked at random; each
      has the draws that it has among all. None, or more than there are: all.

  Raises:
    ValueError: `num_samples` or `num_images` below one.
  """
  if num_samples < 1:
    raise ValueError(f"num_samples must be at least 1, got {num_samples}")
  if num_images is not None and num_images < 1:
    raise ValueError(f"num_images must be at least 1, got {num_images}")
  total = len(test)
  order = permutation(_SEED, "importance", total)
  chosen = np.sort(order[: total if num_images is None else num_images])
  keys = jax.random.split(jax.random.key(_SEED), total)
  parts = []
  title, said = f"NLL, S = {num_samples:,}", time.monotonic()
  with tqdm(total=len(chosen), desc=title, disable=None) as bar:
    for rows in slices(len(chosen), _BATCH_SIZE):
      some = chosen[rows]
      images = test.images[some]
      part = _score(model, num_samples, state, keys[some], images)
      parts.append([np.asarray(values, np.float64) for values in part])
      bar.update(len(images))
      now = time.monotonic()
      left = len(chosen) - rows.stop
      if bar.disable and left > 0 and now - said >= _LINE_EVERY:
        print(f"{title}: {left:,} of {len(chosen):,} images left", flush=True)
        said = now
  log_p, effective = map(np.concatenate, zip(*parts, strict=True))
  of_all, of_all_stderr = -float(np.mean(log_p)), 0.0
  if len(chosen) < total:
    of_all, of_all_stderr = _of_all(model, state, test, chosen, log_p)
  return ImportanceEstimate(
    nll=-float(np.mean(log_p)),
    nll_stderr=float(np.std(log_p) / np.sqrt(len(log_p))),
    samples=num_samples,
    effective_samples=float(np.mean(effective)),
    effective_samples_decile=float(np.quantile(effective, 0.1)),
    images=len(chosen),
    test_images=total,
    nll_of_all=of_all,
    nll_of_all_stderr=of_all_stderr,
  )


def _of_all(
  model: Model,
  state: TrainState,
  test: Split,
  chosen: np.ndarray,
  log_p: np.ndarray,
) -> tuple[float, float]:
  """-log p_Q(x) of the test set by that of `chosen` images, and its error.

  -mean(F) - mean(log p_Q - F), F the bound of eq. 11, the first mean over all
  images: the difference estimator of survey sampling (Cochran 1977, ch. 7).
  """
  terms, _ = score_images(model, state, test.images, num_samples=_BOUND_SAMPLES)
  bound = np.asarray(terms.bound, np.float64)
  above = log_p - bound[chosen]
  nll = -np.mean(bound) - np.mean(above)
  return float(nll), float(np.std(above) / np.sqrt(len(above)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _score(
  model: Model,
  num_samples: int,
  state: TrainState,
  keys: Array,
  images: Array,
) -> tuple[Array, Array]:
  """log p_Q(x) of a batch and effective sample sizes, `[B]` each."""
  to_input = model.preprocessing.input(training=False)
  return log_likelihood(
    model,
    state.params,
    functools.partial(model.prior.log_prob, model.variables_of(state)),
    keys,
    jax.vmap(to_input)(keys, images),
    num_samples,
    _CHUNK,
  )
