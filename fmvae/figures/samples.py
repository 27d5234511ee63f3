"""Samples of the whole prior, of each component, and of p(x|z) (Figure 5)."""

from collections.abc import Sequence

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from fmvae.figures import tiles
from fmvae.model import Model, TrainState
from fmvae.prior import Usage

_GRID = 10  # samples of the whole prior, to a side
_ROWS = 12  # components shown of a factor
_COLUMNS = 8  # samples shown of a component
_MEAN_OF = _GRID**2  # samples that a component's mean is taken of
_DRAWS = 6  # rows of figure 5


def component_samples(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws samples.png: samples of the prior, then of component by component.

  All are means of p(x|z), at the left of any z. A row at the right is a
  component of a factor, by its name where it has one, those with the largest
  share first: the mean of 100 samples, then 8 of them. The other factors are
  drawn from the prior. Pruned components are left out.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
  """
  num_factors = len(model.prior.factors)
  usages = model.usage(state)
  grid_key, *factor_keys = jax.random.split(key, num_factors + 1)
  shown = [_largest(usage) for usage in usages]
  columns = _columns([len(order) for order in shown])
  figure = Figure(figsize=(6 + 5.5 * len(columns), 6.6), layout="constrained")
  grid = figure.add_gridspec(1, 1 + len(columns))
  free = np.full((1, _MEAN_OF, num_factors), -1)
  samples = tiles.decode(model, state, grid_key, free)
  axis = figure.add_subplot(grid[0])
  tiles.show(axis, samples.reshape(_GRID, _GRID, *samples.shape[2:]))
  axis.set_title("Samples of the prior")
  named = {p.factor: p for p in model.properties}
  for column, factors in enumerate(columns):
    heights = [len(shown[i]) for i in factors]
    parts = grid[1 + column].subgridspec(len(factors), 1, height_ratios=heights)
    for row, i in enumerate(factors):
      chosen = np.full((len(shown[i]), _MEAN_OF, num_factors), -1)
      chosen[..., i] = shown[i][:, None]
      images = tiles.decode(model, state, factor_keys[i], chosen)
      means = np.mean(images, 1, keepdims=True)
      axis = figure.add_subplot(parts[row])
      tiles.show(axis, np.concatenate([means, images[:, :_COLUMNS]], 1))
      names = dict(enumerate(named[i].names)) if i in named else {}
      share = np.asarray(usages[i].share)
      labels = [
        f"{names.get(k, k)}: {100 * share[k]:.1f} %" for k in shown[i].tolist()
      ]
      is_pruned = np.zeros(len(labels), bool)
      tiles.label_rows(axis, images.shape[2], labels, is_pruned)
      title = f"Factor {i}" + (f", {named[i].feature}" if i in named else "")
      axis.set_title(
        f"{title}: {len(labels)} of {len(share)} components, mean and samples"
      )
  return figure


def _largest(usage: Usage) -> np.ndarray:
  """The components that are shown, int `[n]`: one at least."""
  order = np.argsort(-np.asarray(usage.share))
  kept = order[~np.asarray(usage.pruned)[order]]
  return (kept if len(kept) else order[:1])[:_ROWS]


def _columns(heights: Sequence[int]) -> list[list[int]]:
  """Which factors stand below each other, so that little stays white."""
  out: list[list[int]] = []
  left = 0
  for i, height in enumerate(heights):
    if height > left:
      out.append([])
      left = _ROWS
    out[-1].append(i)
    left -= height
  return out


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
