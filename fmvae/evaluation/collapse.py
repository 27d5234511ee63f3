"""How many components of a mixture are in use, and what to do if few are."""

import math
from collections.abc import Sequence

import numpy as np

from fmvae import prior


def num_used(usages: Sequence[prior.Usage]) -> tuple[int, ...]:
  """How many components of each factor are not pruned."""
  return tuple(int(np.sum(~np.asarray(u.pruned))) for u in usages)


def perplexity(share: np.ndarray) -> float:
  """exp of the entropy of a distribution `[K]`: 1 to K components in effect."""
  share = np.asarray(share, np.float64)
  share = share[share > 0]
  return float(np.exp(-np.sum(share * np.log(share))))


def collapse_warning(
  num_components: tuple[int, ...],
  perplexities: tuple[float, ...],
  kl_rs: tuple[float, ...],
) -> str | None:
  """A sentence that names the remedy, if a mixture uses next to nothing of K.

  A mixture has collapsed when its perplexity, or exp(KL[r]), the number of
  components that the encodings tell apart, is below 1.1 or a twentieth of K.
  """
  collapsed = []
  for i, k in enumerate(num_components):
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
