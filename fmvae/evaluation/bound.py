"""The test bound of eq. 11, its parts, and the use of the components."""

import dataclasses
import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tqdm import tqdm

from fmvae.data import Images, Split
from fmvae.evaluation.assigned import Assigned, Score, Scorer, by_factor
from fmvae.evaluation.clustering import score_labels, score_unnamed
from fmvae.evaluation.collapse import num_used, perplexity
from fmvae.evaluation.confusion import score_properties
from fmvae.model import Model, Terms, TrainState, local_terms
from fmvae.model.model import slices

_BATCH_SIZE, _CHUNK = 500, 50  # images, and draws of z for each, at a time
_PATIENCE_S = 5  # after which an evaluation shows how far it is
_SEED = 1  # of the noise for z: the same for every evaluation of every run

# Every score beyond the bound; a new one is a file and its name here.
_SCORERS: tuple[Scorer, ...] = (score_labels, score_properties, score_unnamed)

_S = TypeVar("_S")


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Averages over a test set, in nats per image (eq. 11).

  `bound` is eq. 11: reconstruction - sum(kl_z) - sum(kl_r). The global terms of
  eq. 4 are not part of it. Per factor where there is a tuple; under N(0, I) the
  KL has one factor, and what concerns components is empty.
  """

  bound: float
  bound_stderr: float  # over test images
  reconstruction: float
  kl_z: tuple[float, ...]
  kl_r: tuple[float, ...]
  kl_global: float  # sum of lines 4d, 4e divided by N, not in the bound
  num_components: tuple[int, ...]  # K_i
  used: tuple[int, ...]  # components that are not pruned
  chosen: tuple[int, ...]  # most responsible one for some test image
  perplexity: tuple[float, ...]  # exp of the entropy of mean responsibilities
  scores: tuple[Score, ...]  # those of `_SCORERS` that apply

  def score(self, kind: type[_S]) -> _S | None:
    """The score of that class, if it applies."""
    return next((s for s in self.scores if isinstance(s, kind)), None)

  def scalars(self) -> dict[str, float]:
    """One number for each field, tuples as `name/i` where I > 1."""
    out: dict[str, float] = {}
    for field in dataclasses.fields(self)[:-1]:
      value: Any = getattr(self, field.name)
      if isinstance(value, tuple):
        out |= by_factor(field.name, value)
      else:
        out[field.name] = value
    for score in self.scores:
      out |= score.scalars()
    return out

  def __str__(self) -> str:
    lines = [
      f"bound {self.bound:.2f} +- {self.bound_stderr:.2f} nats (eq. 11)",
      f"  = reconstruction {self.reconstruction:.2f}"
      f" - KL[z] {sum(self.kl_z):.2f} - KL[r] {sum(self.kl_r):.2f}",
    ]
    usages = zip(
      self.num_components, self.used, self.chosen, self.perplexity, strict=True
    )
    lines += [
      f"  factor {i}: {used} of {k} components used, {chosen} chosen for some"
      f" test image, perplexity {perplexity:.1f}"
      for i, (k, used, chosen, perplexity) in enumerate(usages)
    ]
    return "\n".join(filter(None, [*lines, *map(str, self.scores)]))


def evaluate(
  model: Model,
  state: TrainState,
  test: Split,
  *,
  num_data: int,
  num_samples: int = 1,
) -> Evaluation:
  """Scores a state on a test set (eq. 11).

  Args:
    model: with the prior that is in effect (`model_at`).
    state: on one device.
    test: the test set.
    num_data: N, the size of the training set, for the global terms.
    num_samples: draws of z per image for the reconstruction term.
  """
  terms, resp = score_images(model, state, test.images, num_samples=num_samples)
  bound = terms.bound
  mean_resp = [np.mean(gamma, 0) for gamma in resp]
  codes = tuple(np.argmax(gamma, -1) for gamma in resp)
  shared = _sum_global_costs(model, state)
  assigned = Assigned(model, test, codes)
  found = [score(assigned) for score in _SCORERS] if codes else []
  return Evaluation(
    bound=float(np.mean(bound)),
    bound_stderr=float(np.std(bound) / np.sqrt(len(bound))),
    reconstruction=float(np.mean(terms.reconstruction)),
    kl_z=tuple(map(float, np.mean(terms.kl_z, 0))),
    kl_r=tuple(map(float, np.mean(terms.kl_r, 0))),
    kl_global=float(shared) / num_data,
    num_components=tuple(len(p) for p in mean_resp),
    used=num_used(model.usage(state)),
    chosen=tuple(len(np.unique(k)) for k in codes),
    perplexity=tuple(map(perplexity, mean_resp)),
    scores=tuple(score for score in found if score is not None),
  )


def score_images(
  model: Model,
  state: TrainState,
  images: Images,
  *,
  num_samples: int = 1,
  key: Array | None = None,
) -> tuple[Terms, tuple[np.ndarray, ...]]:
  """The terms of eq. 11 of each image and its responsibilities, float64.

  Args:
    model: with the prior that is in effect.
    state: on one device.
    images: uint8 `[N, H, W, C]`, prepared as for testing.
    num_samples: draws of z per image for the reconstruction term.
    key: a PRNG key; that of every evaluation if None.
  """
  key = jax.random.key(_SEED) if key is None else key
  keys = jax.random.split(key, len(images))
  parts = []
  with progress(len(images) * num_samples, "draw") as bar:
    for rows in slices(len(images), _BATCH_SIZE):
      some = images[rows]
      parts.append(
        _score_in_chunks(model, num_samples, state, keys[rows], some, bar)
      )
  scored: tuple[Terms, tuple[np.ndarray, ...]] = jax.tree.map(
    lambda *x: np.concatenate(x).astype(np.float64), *parts
  )
  return scored


def progress(total: int, unit: str) -> tqdm:
  """A bar for images, on a terminal, of work that takes its time."""
  return tqdm(
    total=total,
    desc="images",
    unit=unit,
    delay=_PATIENCE_S,
    leave=False,
    disable=None,
  )


def _score_in_chunks(
  model: Model,
  num_samples: int,
  state: TrainState,
  keys: Array,
  images: np.ndarray,
  bar: tqdm,
) -> tuple[Terms, tuple[np.ndarray, ...]]:
  """`_score` in memory that does not grow with the number of draws.

  The first chunk draws by the keys themselves, each other by keys folded with
  its number.
  """
  mean: Any = None
  for i, first in enumerate(range(0, num_samples, _CHUNK)):
    num = min(_CHUNK, num_samples - first)
    own = _fold_in(keys, i) if i else keys
    part = jax.device_get(_score(model, num, state, own, images))
    share = num / (first + num)  # of the draws so far
    if i == 0:
      mean = part
    else:
      mean = jax.tree.map(
        lambda m, x, w=share: m + w * (x.astype(np.float64) - m), mean, part
      )
    bar.update(num * len(images))
  return mean


@jax.jit
def _fold_in(keys: Array, number: int) -> Array:
  return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _score(
  model: Model,
  num_samples: int,
  state: TrainState,
  keys: Array,
  images: Array,
) -> tuple[Terms, tuple[Array, ...]]:
  """Terms and responsibilities of a batch, averaged over draws of z."""
  x = jax.vmap(model.preprocessing.input(training=False))(keys, images)
  shape = (num_samples, model.vae.latent_dim)
  noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)

  def terms(noise):
    return local_terms(model, state.params, state.prior, x, noise)[:2]

  drawn, resp = jax.lax.map(terms, jnp.swapaxes(noise, 0, 1))
  return jax.tree.map(lambda v: jnp.mean(v, 0), (drawn, resp))


@functools.partial(jax.jit, static_argnums=0)
def _sum_global_costs(model: Model, state: TrainState) -> Array:
  costs = model.prior.global_costs(model.variables_of(state))
  return jnp.zeros(()) if costs is None else jnp.sum(costs)
