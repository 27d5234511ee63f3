"""Pictures composed by choosing components of named factors (Figures 1, 6)."""

import itertools
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from fmvae.figures import tiles
from fmvae.model import Model, TrainState

_ROWS = 8  # of figure 6
_COLUMNS = 5  # draws of a setting in a block of figure 1
_INCHES = 0.75  # an image's side


class Setting(NamedTuple):
  """A component for each of some properties."""

  components: tuple[int, ...]
  names: tuple[str, ...]  # pruned ones say so


def settings(
  model: Model, state: TrainState, num: int | None = None
) -> list[Setting]:
  """All settings of the named factors, or of the first `num` of them.

  Raises:
    ValueError: no factor has a name.
  """
  model.require_named("this figure iterates over")
  usages = model.usage(state)
  choices = [
    [
      (k, name + " (pruned)" * bool(usages[p.factor].pruned[k]))
      for k, name in enumerate(p.names)
    ]
    for p in model.properties[:num]
  ]
  return [
    Setting(*zip(*chosen, strict=True))
    for chosen in itertools.product(*choices)
  ]


def named_rows(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws Figure 6: a column for each setting of all named factors.

  A row has one draw of the unnamed z_i, and one of each named z_i for each of
  its components: columns that share a component share its z_i.

  Args:
    model: what was trained, with named factors.
    state: its state, on one device.
    key: a PRNG key.

  Raises:
    ValueError: no factor has a name.
  """
  columns = settings(model, state)
  z = _draws(model, state, key, _ROWS)
  composed = [_compose(model, z[:, 0], z, s) for s in columns]
  images = tiles.render(model, state, np.stack(composed, 1))
  figure = Figure(
    figsize=(0.3 + _INCHES * len(columns), 0.8 + _INCHES * _ROWS),
    layout="constrained",
  )
  axis = figure.subplots()
  tiles.show(axis, images)
  tiles.label_columns(
    axis, images.shape[3], ["\n".join(s.names) for s in columns]
  )
  return figure


def named_blocks(model: Model, state: TrainState, key: Array) -> Figure:
  """Draws Figure 1: a row for each setting of two named factors, in two blocks.

  The factors are the first two that have a name, their z_i drawn anew for each
  image; everything else stays the same in a block.

  Args:
    model: what was trained, with named factors.
    state: its state, on one device.
    key: a PRNG key.

  Raises:
    ValueError: no factor has a name.
  """
  rows = settings(model, state, 2)
  figure = Figure(
    figsize=(1.6 + 2 * _INCHES * _COLUMNS, 0.2 + _INCHES * len(rows)),
    layout="constrained",
  )
  axes = figure.subplots(1, 2)
  for axis, subkey in zip(axes, jax.random.split(key), strict=True):
    z = _draws(model, state, subkey, _COLUMNS)
    composed = [_compose(model, z[0, 0], z, s) for s in rows]
    images = tiles.render(model, state, np.stack(composed))
    tiles.show(axis, images)
  names = [", ".join(s.names) for s in rows]
  is_pruned = np.array(["(pruned)" in name for name in names])
  tiles.label_rows(axes[0], images.shape[2], names, is_pruned)
  return figure


def _draws(model: Model, state: TrainState, key: Array, num: int) -> np.ndarray:
  """Draws of z `[num, V, L]`, every named factor at its component v."""
  sizes = [len(p.names) for p in model.properties]
  shape = (num, max(sizes))
  components = np.full((*shape, len(model.prior.factors)), -1)
  for p, size in zip(model.properties, sizes, strict=True):
    components[..., p.factor] = np.minimum(np.arange(max(sizes)), size - 1)
  z, _ = model.sample(state, key, shape, components)
  return np.array(z)


def _compose(
  model: Model,
  rest: np.ndarray,
  z: np.ndarray,
  setting: Setting,
) -> np.ndarray:
  """`rest` with the z_i of a setting's factors from `_draws`, `[num, L]`."""
  ends = np.cumsum([d for d, _ in model.prior.factors])[:-1]
  parts = np.split(np.broadcast_to(rest, z[:, 0].shape), ends, -1)
  for p, k in zip(model.properties, setting.components, strict=False):
    parts[p.factor] = np.split(z[:, k], ends, -1)[p.factor]
  return np.concatenate(parts, -1)
