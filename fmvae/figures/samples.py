"""Samples of the whole prior, of each component, and of p(x|z) (Figure 5)."""

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from fmvae.figures import tiles
from fmvae.model import Model, TrainState

_GRID = 10  # samples of the whole prior, to a side
_ROWS = 12  # components shown of a factor
_COLUMNS = 8  # samples shown of a component
_MEAN_OF = _GRID**2  # samples that a component's mean is taken of
_DRAWS = 6  # rows of figure 5


def component_samples(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws p(x|z) means: at left of any z, at right component by component.

  A row at the right is a component of a factor, those with the largest share
  first and the pruned ones marked: the mean of 100 samples, then 8 of them.
  The other factors are drawn from the prior.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
  """
  num_factors = len(model.prior.factors)
  usages = model.usage(state)
  grid_key, *factor_keys = jax.random.split(key, num_factors + 1)
  figure = Figure(figsize=(6 + 5.5 * num_factors, 6.6), layout="constrained")
  axes = figure.subplots(1, 1 + num_factors, squeeze=False)[0]
  free = np.full((1, _MEAN_OF, num_factors), -1)
  samples = tiles.decode(model, state, grid_key, free)
  tiles.show(axes[0], samples.reshape(_GRID, _GRID, *samples.shape[2:]))
  axes[0].set_title("Samples of the prior")
  for i, (usage, subkey) in enumerate(zip(usages, factor_keys, strict=True)):
    share = np.asarray(usage.share)
    order = np.argsort(-share)[:_ROWS]
    chosen = np.full((len(order), _MEAN_OF, num_factors), -1)
    chosen[..., i] = order[:, None]
    images = tiles.decode(model, state, subkey, chosen)
    means = np.mean(images, 1, keepdims=True)
    axis = axes[1 + i]
    tiles.show(axis, np.concatenate([means, images[:, :_COLUMNS]], 1))
    pruned = np.asarray(usage.pruned)[order]
    labels = [
      f"{k}: {'pruned' if gone else f'{100 * share[k]:.1f} %'}"
      for k, gone in zip(order, pruned, strict=True)
    ]
    tiles.label_rows(axis, images.shape[2], labels, pruned)
    axis.set_title(
      f"Factor {i}: {min(_ROWS, len(share))} of {len(share)} components, "
      "mean and samples"
    )
  return figure


def mean_std_sample(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws Figure 5: mean, standard deviation and a sample of p(x|z).

  A row is a draw of z from the prior. The standard deviation is shown on the
  scale that its heading states, as a share of the range of x.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
  """
  z_key, x_key = jax.random.split(key)
  z, _ = model.sample(state, z_key, (_DRAWS,))
  raw = model.decode(state, z)
  low, high = model.likelihood.range
  stds = np.asarray(model.likelihood.std(raw)) / (high - low)
  white = float(f"{np.max(stds):.2g}") or 1.0  # as the heading states it
  sample = model.likelihood.sample(x_key, raw)
  columns = {
    "mean": model.to_unit(model.likelihood.mean(raw)),
    f"std\n(white = {white:g})": np.clip(stds / white, 0, 1),
    "sample": model.to_unit(sample),
  }
  images = np.stack(list(columns.values()), 1)
  figure = Figure(figsize=(3.6, 0.6 + 1.2 * _DRAWS), layout="constrained")
  axis = figure.subplots()
  tiles.show(axis, images)
  tiles.label_columns(axis, images.shape[3], list(columns))
  return figure
