"""Decoded draws of the prior, and how the figures lay them out."""

from collections.abc import Sequence

import jax
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.text import Text

from fmvae.model import Model, TrainState


def decode(
  model: Model, state: TrainState, key: Array, components: np.ndarray
) -> np.ndarray:
  """Means of p(x|z) for z of the given components, `[rows, cols, H, W, C]`.

  In [0, 1], whatever the range of the likelihood.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
    components: int `[rows, cols, I]`; -1 draws that factor's component. A row
      is decoded at a time.
  """
  keys = jax.random.split(key, len(components))
  images = np.stack(
    [
      np.asarray(model.draw(state, k, row))
      for k, row in zip(keys, components, strict=True)
    ]
  )
  return model.to_unit(images)


def render(model: Model, state: TrainState, z: np.ndarray) -> np.ndarray:
  """Means of p(x|z) for z `[rows, cols, L]`, in [0, 1]."""
  images = [np.asarray(model.render(state, row)) for row in z]
  return model.to_unit(np.stack(images))


def show(axis: Axes, images: np.ndarray, white: float = 1.0) -> None:
  """Shows images as one picture without ticks.

  Args:
    axis: to draw on.
    images: `[rows, cols, H, W, C]`, from 0 to `white`.
    white: the value shown as white; with C = 3 it must be 1.
  """
  border = ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0))
  rows, cols, height, width, channels = images.shape
  padded = np.pad(images, border, constant_values=0.5 * white)
  tiled = padded.transpose(0, 2, 1, 3, 4).reshape(
    rows * (height + 1), cols * (width + 1), channels
  )
  picture = tiled[..., 0] if channels == 1 else tiled
  axis.imshow(picture, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
  axis.set_xticks([])
  axis.set_yticks([])
  axis.set_frame_on(False)


def label_columns(
  axis: Axes,
  width: int,
  labels: Sequence[str],
  pruned: np.ndarray | None = None,
) -> None:
  """Names each column that `show` drew, above it; red where `pruned`."""
  middles = (width + 1) * (np.arange(len(labels)) + 0.5)
  axis.xaxis.tick_top()
  axis.set_xticks(middles, labels, fontsize="small")
  _redden(axis.get_xticklabels(), pruned)
  axis.tick_params(length=0)


def label_rows(
  axis: Axes, height: int, labels: Sequence[str], pruned: np.ndarray
) -> None:
  """Names each row that `show` drew, in red where `pruned`, bool `[rows]`."""
  middles = (height + 1) * (np.arange(len(labels)) + 0.5)
  axis.set_yticks(middles, labels)
  _redden(axis.get_yticklabels(), pruned)
  axis.tick_params(length=0)


def _redden(labels: Sequence[Text], pruned: np.ndarray | None) -> None:
  for i, label in enumerate(labels):
    is_pruned = pruned is not None and pruned[i]
    label.set_color("tab:red" if is_pruned else "black")
