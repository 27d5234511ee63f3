"""Grids over the components of two factors (Figures 8, 9, 10)."""

import jax
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from fmvae.figures import tiles
from fmvae.figures.named import settings
from fmvae.model import Model, TrainState

_INCHES = 0.5  # an image's side


def component_grid(
  model: Model,
  state: TrainState,
  key: Array,
  *,
  side: int = 10,
  num_samples: int = 100,
) -> Figure:
  """Draws Figure 8: a grid over the components of two factors.

  At each place is a mean of samples. The factors are the first two that have no
  name, else the first two; their components with the largest share are shown,
  pruned ones marked. Factors beyond the two are drawn from the prior.

  Args:
    model: what was trained, with two factors at least.
    state: its state, on one device.
    key: a PRNG key.
    side: components shown of each factor.
    num_samples: that each mean is taken of.

  Raises:
    ValueError: the model has a single factor.
  """
  if len(model.prior.factors) < 2:
    raise ValueError(
      "this figure needs two factors with components, the run has "
      f"{len(model.prior.factors)}"
    )
  unnamed = model.unnamed
  pair = unnamed[:2] if len(unnamed) > 1 else (0, 1)
  figure = Figure(
    figsize=(1.2 + _INCHES * side, 0.9 + _INCHES * side),
    layout="constrained",
  )
  of_each = np.full((num_samples, len(model.prior.factors)), -1)
  with _progress(side) as bar:
    _grid(figure.subplots(), model, state, key, pair, side, of_each, bar)
  return figure


def named_grids(
  model: Model,
  state: TrainState,
  key: Array,
  last: int = 0,
  *,
  side: int = 9,
  num_samples: int = 100,
) -> Figure:
  """Draws Figure 9: a grid for each setting of the named factors but the last.

  The last one stays at component `last`. A grid is over the two unnamed factors
  with the most components, a mean of samples at each place.

  Args:
    model: what was trained: named factors and two unnamed ones.
    state: its state, on one device.
    key: a PRNG key.
    last: component of the last named factor.
    side: components shown of each unnamed factor.
    num_samples: that each mean is taken of.

  Raises:
    ValueError: the run has no such factors or component.
  """
  chosen = [s for s in settings(model, state) if s.components[-1] == last]
  if not chosen:
    raise ValueError(f"{model.properties[-1].feature} has no component {last}")
  if len(model.unnamed) < 2:
    raise ValueError(
      "this figure needs two factors without a name, the run has "
      f"{len(model.unnamed)}"
    )
  counts = [k for _, k in model.prior.factors]
  pair = tuple(sorted(model.unnamed, key=lambda i: -counts[i])[:2])
  columns = 2 if len(chosen) > 1 else 1
  rows = -(-len(chosen) // columns)
  inches = 0.8 + _INCHES * side
  figure = Figure(
    figsize=(columns * inches, rows * inches), layout="constrained"
  )
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes[len(chosen) :]:
    axis.set_visible(False)
  with _progress(len(chosen) * side) as bar:
    for axis, setting in zip(axes, chosen, strict=False):
      pairs = zip(model.properties, setting.components, strict=True)
      of_each = np.full((num_samples, len(counts)), -1)
      for p, k in pairs:
        of_each[:, p.factor] = k
      _grid(axis, model, state, key, pair, side, of_each, bar)
      axis.set_title(f"({', '.join(setting.names)})", fontsize="medium")
  return figure


def other_named_grids(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws Figure 10: as Figure 9, the last named factor at its other component.

  Args:
    model: what was trained: named factors and two unnamed ones.
    state: its state, on one device.
    key: a PRNG key.

  Raises:
    ValueError: the run has no such factors or component.
  """
  return named_grids(model, state, key, last=1)


def _progress(rows: int) -> tqdm:
  return tqdm(total=rows, desc="rows of the grid", disable=None)


def _grid(
  axis: Axes,
  model: Model,
  state: TrainState,
  key: Array,
  pair: tuple[int, ...],
  side: int,
  components: np.ndarray,
  bar: tqdm,
) -> None:
  """One grid over the largest components of two factors.

  `components` `[n, I]` are those of the n samples of each mean, -1 for drawn.
  """
  usages = [model.usage(state)[i] for i in pair]
  shown = [np.argsort(-np.asarray(u.share))[:side] for u in usages]
  means = []
  for row in shown[0]:
    of_row = []
    for column in shown[1]:
      components[:, list(pair)] = row, column
      place = jax.random.fold_in(jax.random.fold_in(key, row), column)
      of_row.append(np.mean(model.draw(state, place, components), 0))
    means.append(of_row)
    bar.update()
  images = model.to_unit(np.array(means))
  tiles.show(axis, images)
  labels, pruned = [], []
  for usage, chosen in zip(usages, shown, strict=True):
    pruned.append(np.asarray(usage.pruned)[chosen])
    labels.append(
      [
        f"{k}{' pruned' if gone else ''}"
        for k, gone in zip(chosen, pruned[-1], strict=True)
      ]
    )
  tiles.label_rows(axis, images.shape[2], labels[0], pruned[0])
  tiles.label_columns(axis, images.shape[3], labels[1], pruned[1])
  axis.set_ylabel(f"factor {pair[0]}")
  axis.set_xlabel(f"factor {pair[1]}")
