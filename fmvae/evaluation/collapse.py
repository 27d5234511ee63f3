"""How components and dimensions are used, and what to do where they are not."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fmvae import prior
from fmvae.data import Split
from fmvae.evaluation.clustering import cluster_scores
from fmvae.model import Model, TrainState
from fmvae.model.priors import Encoding

_IMAGES = 2_000  # that `examine` looks at
_FEW, _SHARE = 1.1, 20  # components told apart: fewer, or less than K / 20
_TWIN = 0.1  # nats of symmetric KL, below which two components coincide
_SAME = 0.5  # NMI, from which two factors tell the same
_DEAD = 0.02  # nats, below which a dimension says nothing of x
_SHOWN = 5


def num_used(usages: Sequence[prior.Usage]) -> tuple[int, ...]:
  """How many components of each factor are not pruned."""
  return tuple(int(np.sum(~np.asarray(u.pruned))) for u in usages)


def perplexity(share: np.ndarray) -> float:
  """exp of the entropy of a distribution `[K]`: 1 to K components in effect."""
  return float(np.exp(_entropy(np.asarray(share, np.float64))))


@dataclasses.dataclass(frozen=True)
class Diagnosis:
  """What a mixture leaves unused; `str` names the remedies.

  Per factor where there is a tuple of numbers; empty under N(0, I).
  """

  num_components: tuple[int, ...]
  used: tuple[int, ...]  # not pruned
  apart: tuple[float, ...]  # exp of what r tells of x: 1 to K
  coinciding: tuple[int, ...]  # used ones that a used one before them equals
  same: tuple[tuple[int, int, float], ...]  # two factors, their NMI
  dead: tuple[int, ...]  # dimensions whose q(z|x) is one for all x
  latent_dim: int

  @property
  def collapsed(self) -> tuple[int, ...]:
    """Factors that tell next to nothing of K components apart."""
    return tuple(
      i
      for i, (k, apart) in enumerate(
        zip(self.num_components, self.apart, strict=True)
      )
      if k > 1 and apart < max(_FEW, k / _SHARE)
    )

  def warning(self) -> str | None:
    """A sentence that names the remedy, if a mixture has collapsed."""
    if not self.collapsed:
      return None
    told = ", ".join(
      f"factor {i} tells {self.apart[i]:.1f} of {self.num_components[i]} apart"
      for i in self.collapsed
    )
    return (
      f"The mixture has collapsed: {told}. Its encodings must fall into groups "
      "before it starts: raise config.steps.pretrain. If it collapsed later, "
      "raise config.steps.prior or lower config.svi.initial. Fewer components "
      "in config.factors would serve as well as it is now."
    )

  def record(self) -> dict[str, Any]:
    """As JSON takes it."""
    fields = dataclasses.asdict(self)
    return fields | {"collapsed": self.collapsed}

  def __str__(self) -> str:
    lines = [
      f"factor {i} tells {self.apart[i]:.1f} of {self.num_components[i]} "
      "components apart: fewer in config.factors would serve as well, or more "
      "training under N(0, I) before it begins (config.steps.pretrain)"
      for i in self.collapsed
    ]
    lines += [
      f"factor {i} has {num} of {self.used[i]} used components that coincide "
      "with others: fewer in config.factors would serve as well"
      for i, num in enumerate(self.coinciding)
      if num
    ]
    lines += [
      f"factors {i} and {j} tell the same (NMI {nmi:.2f}): one of them would "
      "do, with the dimensions of both in config.factors; config.independence "
      "trains them to differ"
      for i, j, nmi in self.same[:_SHOWN]
    ]
    if self.dead:
      lines.append(
        f"{len(self.dead)} of {self.latent_dim} dimensions say nothing of x: a "
        "smaller config.latent_dim would serve as well, or let the KL's weight "
        "rise slowly (config.kl_anneal_steps)"
      )
    return "\n".join(f"  {line}" for line in lines)


def diagnose(
  resp: Sequence[np.ndarray],
  pruned: Sequence[np.ndarray],
  components: Sequence[tuple[np.ndarray, np.ndarray]],
  loc: np.ndarray,
  log_var: np.ndarray,
) -> Diagnosis:
  """Looks for what is unused, in what a model makes of some images.

  Args:
    resp: gamma_i `[N, K_i]` of each factor.
    pruned: bool `[K_i]` of each.
    components: means and log variances `[K_i, D_i]` of each, or () where the
      prior's components are no Gaussians.
    loc: means of q(z|x), `[N, L]`.
    log_var: its log variances `[N, L]`.
  """
  resp = [np.asarray(gamma, np.float64) for gamma in resp]
  codes = [np.argmax(gamma, -1) for gamma in resp]
  varied = [i for i, k in enumerate(codes) if len(np.unique(k)) > 1]
  same = [
    (i, j, cluster_scores(codes[i], codes[j]).nmi)
    for i, j in itertools.combinations(varied, 2)
  ]
  twins = [
    _num_twins(*(np.asarray(x, np.float64)[~np.asarray(away)] for x in of))
    for of, away in zip(components, pruned, strict=False)
  ]
  return Diagnosis(
    num_components=tuple(gamma.shape[1] for gamma in resp),
    used=tuple(int(np.sum(~np.asarray(away))) for away in pruned),
    apart=tuple(float(np.exp(_told(gamma))) for gamma in resp),
    coinciding=tuple(twins),
    same=tuple(sorted((s for s in same if s[2] >= _SAME), key=lambda s: -s[2])),
    dead=tuple(np.flatnonzero(_information(loc, log_var) < _DEAD).tolist()),
    latent_dim=loc.shape[1],
  )


def examine(model: Model, state: TrainState, images: Split) -> Diagnosis:
  """`diagnose` of a model on up to 2,000 images, prepared as for testing.

  Args:
    model: with the prior that is in effect.
    state: on one device.
    images: of the test set.
  """
  some = images.images[:_IMAGES]
  key = jax.random.key(0)
  loc, log_var = model.encode(state, some, key, training=False)
  resp, components = _look(model, state, loc, log_var)
  return diagnose(
    resp,
    [np.asarray(u.pruned) for u in model.usage(state)],
    components,
    np.asarray(loc, np.float64),
    np.asarray(log_var, np.float64),
  )


@functools.partial(jax.jit, static_argnums=0)
def _look(model: Model, state: TrainState, loc, log_var):
  """Responsibilities and the components' means and log variances."""
  variables = model.variables_of(state)
  encoding = Encoding(loc, log_var, jnp.exp(log_var), loc)
  resp = model.prior.costs(variables, encoding, None).resp
  gaussians = getattr(model.prior, "gaussians", lambda _: ())
  return resp, [(g.loc, g.log_var) for g in gaussians(variables)]


def _entropy(share: np.ndarray) -> np.ndarray:
  """In nats, along the last axis."""
  return -np.sum(share * np.log(np.where(share > 0, share, 1)), -1)


def _told(gamma: np.ndarray) -> float:
  """What r tells of x: the mutual information under q(r|x), in nats."""
  return float(_entropy(np.mean(gamma, 0)) - np.mean(_entropy(gamma)))


def _information(loc: np.ndarray, log_var: np.ndarray) -> np.ndarray:
  """Nats that each dimension tells of x at most, `[L]`.

  The KL from q(z|x) to the Gaussian with the moments of all encodings.
  """
  pooled = np.var(loc, 0) + np.mean(np.exp(log_var), 0)
  return 0.5 * (np.log(pooled) - np.mean(log_var, 0))


def _num_twins(loc: np.ndarray, log_var: np.ndarray) -> int:
  """Components `[K, D]` of which one before them is the same."""
  variance, precision = np.exp(log_var), np.exp(-log_var)
  ratio = variance @ precision.T
  scaled = loc * precision
  away = loc**2 @ precision.T - 2 * loc @ scaled.T + np.sum(loc * scaled, -1)
  symmetric = (ratio + ratio.T - 2 * loc.shape[1] + away + away.T) / 4
  return int(np.sum(np.any(np.tril(symmetric < _TWIN, -1), -1)))
