"""Grids over the components of two factors (Figures 8, 9, 10)."""

from collections.abc import Mapping

import jax
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from fmvae import prior
from fmvae.experiment import Experiment
from fmvae.figures import images as images_lib
from fmvae.figures.named import settings
from fmvae.training.state import TrainState

_MEAN_OF = 100  # samples in each picture
_SIDE = 10  # components shown of a factor in figure 8
_SUB_SIDE = 9  # in a sub-figure of figures 9 and 10
_INCHES = 0.5  # an image's side


def component_grid(
  experiment: Experiment, state: TrainState, key: Array
) -> Figure:
  """Draws Figure 8: means of 100 samples for each (k, l) of two factors.

  The factors are the first two that have no name, else the first two; their
  ten components with the largest share are shown, pruned ones marked. Factors
  beyond the two are drawn from the prior.

  Args:
    experiment: what was trained, with two factors at least.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.

  Raises:
    ValueError: the model has a single factor.
  """
  if len(experiment.config.factors) < 2:
    raise ValueError("this figure needs two factors, the run has one")
  unnamed = experiment.unnamed
  pair = unnamed[:2] if len(unnamed) > 1 else (0, 1)
  figure = Figure(
    figsize=(1.2 + _INCHES * _SIDE, 0.9 + _INCHES * _SIDE),
    layout="constrained",
  )
  with _progress(_SIDE) as bar:
    _grid(figure.subplots(), experiment, state, key, pair, _SIDE, {}, bar)
  return figure


def named_grids(
  experiment: Experiment, state: TrainState, key: Array, last: int = 0
) -> Figure:
  """Draws Figure 9 (`last` = 0) or 10 (1): a grid for each named setting.

  The last named factor stays at component `last`; the others take all their
  settings, a sub-figure each, which is a 9x9 grid over the two unnamed factors
  with the most components, means of 100 samples each.

  Args:
    experiment: what was trained: named factors and two unnamed ones.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.
    last: component of the last named factor.

  Raises:
    ValueError: the run has no such factors or component.
  """
  chosen = [s for s in settings(experiment, state) if s.components[-1] == last]
  if not chosen:
    raise ValueError(
      f"{experiment.properties[-1].feature} has no component {last}"
    )
  if len(experiment.unnamed) < 2:
    raise ValueError(
      "this figure needs two factors without a name, the run has "
      f"{len(experiment.unnamed)}"
    )
  counts = state.prior.components
  pair = tuple(sorted(experiment.unnamed, key=lambda i: -counts[i])[:2])
  columns = 2 if len(chosen) > 1 else 1
  rows = -(-len(chosen) // columns)
  side = 0.8 + _INCHES * _SUB_SIDE
  figure = Figure(figsize=(columns * side, rows * side), layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes[len(chosen) :]:
    axis.set_visible(False)
  with _progress(len(chosen) * _SUB_SIDE) as bar:
    for axis, setting in zip(axes, chosen, strict=False):
      pairs = zip(experiment.properties, setting.components, strict=True)
      fixed = {p.factor: k for p, k in pairs}
      _grid(axis, experiment, state, key, pair, _SUB_SIDE, fixed, bar)
      axis.set_title(f"({', '.join(setting.names)})", fontsize="medium")
  return figure


def _progress(rows: int) -> tqdm:
  return tqdm(total=rows, desc="rows of the grid", disable=None)


def _grid(
  axis: Axes,
  experiment: Experiment,
  state: TrainState,
  key: Array,
  pair: tuple[int, ...],
  side: int,
  fixed: Mapping[int, int],
  bar: tqdm,
) -> None:
  """One grid over the largest components of two factors."""
  usages = [prior.usage(state.prior)[i] for i in pair]
  shown = [np.argsort(-np.asarray(u.share))[:side] for u in usages]
  components = np.full((_MEAN_OF, len(experiment.config.factors)), -1)
  for factor, k in fixed.items():
    components[:, factor] = k
  means = []
  for row in shown[0]:
    of_row = []
    for column in shown[1]:
      components[:, list(pair)] = row, column
      place = jax.random.fold_in(jax.random.fold_in(key, row), column)
      of_row.append(np.mean(experiment.draw(state, place, components), 0))
    means.append(of_row)
    bar.update()
  images = experiment.to_unit(np.array(means))
  images_lib.show(axis, images)
  labels, pruned = [], []
  for usage, chosen in zip(usages, shown, strict=True):
    pruned.append(np.asarray(usage.pruned)[chosen])
    labels.append(
      [
        f"{k}{' pruned' if gone else ''}"
        for k, gone in zip(chosen, pruned[-1], strict=True)
      ]
    )
  images_lib.label_rows(axis, images.shape[2], labels[0], pruned[0])
  images_lib.label_columns(axis, images.shape[3], labels[1], pruned[1])
  axis.set_ylabel(f"factor {pair[0]}")
  axis.set_xlabel(f"factor {pair[1]}")
