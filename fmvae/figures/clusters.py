"""Mean, variance and samples of single components (Figure 4)."""

from collections.abc import Sequence

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from fmvae.figures import tiles
from fmvae.model import Model, TrainState

_ROWS = 6  # components shown where none are named
_SAMPLES = 5  # shown of a component
_BATCHES, _BATCH_SIZE = 10, 100  # 1,000 draws for mean and variance
_INCHES = 0.95  # height of a row


def cluster_samples(
  model: Model,
  state: TrainState,
  key: Array,
  components: Sequence[int] | None = None,
  factor: int = 0,
) -> Figure:
  """Draws Figure 4: mean, variance and samples of components of a factor.

  A row is a component: mean and variance, pixel by pixel, of the means of
  p(x|z) for 1,000 draws of z, and the first five of them. The other factors
  are drawn from the prior. Intensities are in [0, 1], so that a variance is at
  most 0.25; of colour images it is the average over channels. A row depends on
  the key and its component alone.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
    components: of that factor, by default the six with the largest share.
    factor: counted from 0.

  Raises:
    ValueError: `components` or `factor` names one that does not exist.
  """
  counts = [k for _, k in model.prior.factors]
  if not counts:
    raise ValueError("this figure needs a prior with components, got N(0, I)")
  if factor not in range(len(counts)):
    raise ValueError(
      f"factor must be from 0 to {len(counts) - 1}, got {factor!r}"
    )
  usage = model.usage(state)[factor]
  share, pruned = np.asarray(usage.share), np.asarray(usage.pruned)
  if components is None:
    components = np.argsort(-share)[:_ROWS].tolist()
  missing = [k for k in components if k not in range(counts[factor])]
  if missing or not len(components):
    raise ValueError(
      f"components of factor {factor} must be from 0 to "
      f"{counts[factor] - 1}, got {missing or 'none'}"
    )
  means, variances, samples = [], [], []
  for k in components:
    chosen = np.full((_BATCHES, _BATCH_SIZE, len(counts)), -1)
    chosen[..., factor] = k
    decoded = tiles.decode(model, state, jax.random.fold_in(key, k), chosen)
    images = decoded.reshape(-1, *decoded.shape[2:])
    means.append(images.mean(0))
    variances.append(images.var(0).mean(-1, keepdims=True))
    samples.append(images[:_SAMPLES])
  white = float(f"{np.max(variances):.2g}") or 1.0  # as the heading states it

  rows = len(components)
  figure = Figure(
    figsize=(1.8 + _INCHES * (2 + _SAMPLES), 0.6 + _INCHES * rows),
    layout="constrained",
  )
  axes = figure.subplots(1, 3, width_ratios=(1, 1, _SAMPLES))
  tiles.show(axes[0], np.stack(means)[:, None])
  tiles.show(axes[1], np.stack(variances)[:, None], white)
  tiles.show(axes[2], np.stack(samples))
  headings = ("mean", f"variance\n(white = {white:g})", "samples")
  for axis, heading in zip(axes, headings, strict=True):
    axis.set_title(heading, fontsize="medium")
  labels = [
    f"component {k}, {'pruned' if pruned[k] else f'{100 * share[k]:.1f} %'}"
    for k in components
  ]
  tiles.label_rows(axes[0], means[0].shape[0], labels, pruned[list(components)])
  if len(counts) > 1:
    figure.suptitle(f"Factor {factor}", fontsize="medium")
  return figure
