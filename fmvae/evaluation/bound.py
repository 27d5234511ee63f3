"""The test bound of eq. 11, its parts, and the use of the components."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import Array

from fmvae import prior
from fmvae.evaluation.agreement import Agreement, agreement
from fmvae.evaluation.clustering import cluster_scores
from fmvae.experiment import Experiment
from fmvae.objective import Terms, mixture_terms, standard_normal_terms
from fmvae.training.state import TrainState

_BATCH_SIZE = 500
_SHOWN = 5  # features that name no factor, in print
_SEED = 1  # of the noise for z: the same for every evaluation of every run


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Averages over a test set, in nats per image.

  `bound` is eq. 11: reconstruction - sum(kl_z) - sum(kl_r). The global terms of
  eq. 4 are not part of it. Per factor where there is a tuple; before the
  mixture is started the prior is N(0, I), one factor without components.
  """

  bound: float
  bound_stderr: float  # over test images
  reconstruction: float
  kl_z: tuple[float, ...]
  kl_r: tuple[float, ...]
  kl_global: float  # sum of lines 4d, 4e divided by N, not in the bound
  components: tuple[int, ...]  # K_i
  used: tuple[int, ...]  # components that are not pruned (prior.usage)
  chosen: tuple[int, ...]  # most responsible one for some test image
  perplexity: tuple[float, ...]  # exp of the entropy of mean responsibilities
  # Most responsible components against the feature 'label', if there is one:
  acc: tuple[float, ...]  # of the best one-to-one matching to classes
  nmi: tuple[float, ...]  # normalised mutual information
  ari: tuple[float, ...]  # adjusted Rand index
  named: tuple[Agreement, ...]  # most responsible component, truth; properties
  # Of each feature that names no factor: the factor that tells most of it, NMI.
  unnamed: dict[str, tuple[int, float]]

  def scalars(self) -> dict[str, float]:
    """One number for each field, tuples as `name/i` where I > 1."""
    out: dict[str, float] = {}
    for field in dataclasses.fields(self):
      name, value = field.name, getattr(self, field.name)
      if name == "named":
        for part in value:
          out |= part.scalars()
      elif name == "unnamed":
        out |= {f"nmi/{feature}": nmi for feature, (_, nmi) in value.items()}
      elif not isinstance(value, tuple):
        out[name] = value
      elif len(value) == 1:
        out[name] = value[0]
      else:
        out |= {f"{name}/{i}": v for i, v in enumerate(value)}
    return out

  def __str__(self) -> str:
    lines = [
      f"bound {self.bound:.2f} +- {self.bound_stderr:.2f} nats (eq. 11)",
      f"  = reconstruction {self.reconstruction:.2f}"
      f" - KL[z] {sum(self.kl_z):.2f} - KL[r] {sum(self.kl_r):.2f}",
    ]
    usages = zip(
      self.components, self.used, self.chosen, self.perplexity, strict=True
    )
    lines += [
      f"  factor {i}: {used} of {k} components used, {chosen} chosen for some"
      f" test image, perplexity {perplexity:.1f}"
      for i, (k, used, chosen, perplexity) in enumerate(usages)
    ]
    scores = zip(self.acc, self.nmi, self.ari, strict=True)
    lines += [
      f"  factor {i} against labels: accuracy {acc:.2f}, NMI {nmi:.2f},"
      f" ARI {ari:.2f}"
      for i, (acc, nmi, ari) in enumerate(scores)
    ]
    lines += [f"  assigned {part}" for part in self.named]
    told = sorted(self.unnamed.items(), key=lambda item: -item[1][1])
    lines += [
      f"  unnamed {feature}: told best by factor {i}, NMI {nmi:.2f}"
      for feature, (i, nmi) in told[:_SHOWN]
    ]
    return "\n".join(lines)


def evaluate(
  experiment: Experiment, state: TrainState, num_samples: int = 1
) -> Evaluation:
  """Scores a state on the test set.

  Args:
    experiment: with its test set.
    state: on one device.
    num_samples: draws of z per image for the reconstruction term.
  """
  test = experiment.test
  plain = not experiment.has_mixture(state)

  keys = jax.random.split(jax.random.key(_SEED), len(test))
  parts = []
  for start in range(0, len(test), _BATCH_SIZE):
    rows = slice(start, start + _BATCH_SIZE)
    parts.append(
      _score(
        experiment, plain, num_samples, state, keys[rows], test.images[rows]
      )
    )
  terms, resp = jax.tree.map(
    lambda *x: np.concatenate(x).astype(np.float64), *jax.device_get(parts)
  )
  bound = terms.bound
  mean_resp = [np.mean(gamma, 0) for gamma in resp]
  chosen = [np.argmax(gamma, -1) for gamma in resp]
  labels = test.features.get("label")
  scores = [] if labels is None else [cluster_scores(k, labels) for k in chosen]
  return Evaluation(
    bound=float(np.mean(bound)),
    bound_stderr=float(np.std(bound) / np.sqrt(len(bound))),
    reconstruction=float(np.mean(terms.reconstruction)),
    kl_z=tuple(map(float, np.mean(terms.kl_z, 0))),
    kl_r=tuple(map(float, np.mean(terms.kl_r, 0))),
    kl_global=0.0
    if plain
    else float(_sum_kl_global(state.prior)) / len(experiment.train),
    components=tuple(len(p) for p in mean_resp),
    used=() if plain else num_used(state.prior),
    chosen=tuple(len(np.unique(k)) for k in chosen),
    perplexity=tuple(map(perplexity, mean_resp)),
    acc=tuple(s.acc for s in scores),
    nmi=tuple(s.nmi for s in scores),
    ari=tuple(s.ari for s in scores),
    named=() if plain else _named(experiment, chosen),
    unnamed={} if plain else _unnamed(experiment, chosen),
  )


def _named(
  experiment: Experiment, chosen: list[np.ndarray]
) -> tuple[Agreement, ...]:
  """Assigned components against the properties that name factors."""
  factors, features = experiment.config.factors, experiment.test.features
  return tuple(
    agreement(
      p.feature,
      p.names,
      p.components(features[p.feature]),
      chosen[p.factor],
      factors[p.factor][1],
    )
    for p in experiment.properties
  )


def _unnamed(
  experiment: Experiment, chosen: list[np.ndarray]
) -> dict[str, tuple[int, float]]:
  """Features that name no factor against the factors that have no name."""
  named = {p.feature for p in experiment.properties}
  if not named:
    return {}
  out = {}
  for feature, values in experiment.test.features.items():
    if feature not in named and experiment.unnamed:
      nmis = [cluster_scores(chosen[i], values).nmi for i in experiment.unnamed]
      best = int(np.argmax(nmis))
      out[feature] = (experiment.unnamed[best], nmis[best])
  return out


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _score(
  experiment: Experiment,
  plain: bool,
  num_samples: int,
  state: TrainState,
  keys: Array,
  images: Array,
) -> tuple[Terms, tuple[Array, ...]]:
  """Terms and responsibilities of a batch, averaged over draws of z."""
  model = experiment.model
  x = jax.vmap(experiment.test_input)(keys, images)
  shape = (num_samples, model.vae.latent_dim)
  noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)

  def terms(noise):
    if plain:
      return standard_normal_terms(model, state.params, x, noise), ()
    return mixture_terms(model, state.params, state.prior, x, noise)

  drawn, resp = jax.lax.map(terms, jnp.swapaxes(noise, 0, 1))
  return jax.tree.map(lambda v: jnp.mean(v, 0), (drawn, resp))


@jax.jit
def _sum_kl_global(state: prior.PriorState) -> Array:
  return jnp.sum(prior.kl_global(state))


def num_used(state: prior.PriorState) -> tuple[int, ...]:
  """How many components of each factor are not pruned."""
  return tuple(int(np.sum(~np.asarray(u.pruned))) for u in prior.usage(state))


def perplexity(share: np.ndarray) -> float:
  """exp of the entropy of a distribution `[K]`: 1 to K components in effect."""
  share = np.asarray(share, np.float64)
  share = share[share > 0]
  return float(np.exp(-np.sum(share * np.log(share))))


def collapse_warning(
  components: tuple[int, ...],
  perplexities: tuple[float, ...],
  kl_rs: tuple[float, ...],
) -> str | None:
  """A sentence that names the remedy, if a mixture uses next to nothing of K.

  A mixture has collapsed when its perplexity, or exp(KL[r]), the number of
  components that the encodings tell apart, is below 1.1 or a twentieth of K.
  """
  collapsed = []
  for i, k in enumerate(components):
    in_effect = min(perplexities[i], math.exp(kl_rs[i]))
    if k > 1 and in_effect < max(1.1, k / 20):
      collapsed.append(f"factor {i} tells {in_effect:.1f} of {k} apart")
  if not collapsed:
    return None
  return (
    f"The mixture has collapsed: {', '.join(collapsed)}. Its encodings must "
    "fall into groups before it starts: raise config.steps.pretrain. If it "
    "collapsed later, raise config.steps.prior or lower config.svi.initial. "
    "Fewer components in config.factors would serve as well as it is now."
  )


def warn_of_collapse(result: Evaluation) -> None:
  """Logs a warning with the remedy if a mixture of `result` has collapsed."""
  message = collapse_warning(result.components, result.perplexity, result.kl_r)
  if message:
    logging.warning(message)
