"""Decoded draws of the prior, and how the figures lay them out."""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from fmvae import prior
from fmvae.experiment import Experiment
from fmvae.training.state import TrainState


def decode(
  experiment: Experiment, state: TrainState, key: Array, components: np.ndarray
) -> np.ndarray:
  """Means of p(x|z) for z of the given components, `[rows, cols, H, W, C]`.

  In [0, 1], whatever the range of the likelihood.

  Args:
    experiment: what was trained.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.
    components: int `[rows, cols, I]`; -1 draws that factor's component. A row
      is decoded at a time.
  """
  keys = jax.random.split(key, len(components))
  images = np.stack(
    [
      np.asarray(_draw(experiment, state, k, row))
      for k, row in zip(keys, components, strict=True)
    ]
  )
  signed = experiment.config.likelihood == "gaussian"  # [-1, 1]
  return np.clip(images / 2 + 0.5 if signed else images, 0, 1)


@functools.partial(jax.jit, static_argnums=0)
def _draw(
  experiment: Experiment, state: TrainState, key: Array, components: Array
) -> Array:
  """Means of p(x|z) for z of the given components, `[n, H, W, C]`."""
  model = experiment.model
  z, _ = prior.sample(key, state.prior, components.shape[:-1], components)
  return model.likelihood.mean(model.vae.decode(state.params, z))


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


def label_rows(
  axis: Axes, height: int, labels: Sequence[str], pruned: np.ndarray
) -> None:
  """Names each row that `show` drew, in red where `pruned`, bool `[rows]`."""
  middles = (height + 1) * (np.arange(len(labels)) + 0.5)
  axis.set_yticks(middles, labels)
  for label, is_pruned in zip(axis.get_yticklabels(), pruned, strict=True):
    label.set_color("tab:red" if is_pruned else "black")
  axis.tick_params(length=0)
