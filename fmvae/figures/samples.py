"""Samples of the whole prior and of each component (as in Figure 4)."""

import functools

import jax
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fmvae import prior
from fmvae.experiment import Experiment
from fmvae.training.state import TrainState

_GRID = 10  # samples of the whole prior, to a side
_ROWS = 12  # components shown of a factor
_COLUMNS = 8  # samples shown of a component
_MEAN_OF = _GRID**2  # samples that a component's mean is taken of


def component_samples(
  experiment: Experiment, state: TrainState, key: Array
) -> Figure:
  """Draws p(x|z) means: at left of any z, at right component by component.

  A row at the right is a component of a factor, those with the largest share
  first and the pruned ones marked: the mean of 100 samples, then 8 of them.
  The other factors are drawn from the prior.

  Args:
    experiment: what was trained.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.
  """
  num_factors = len(state.prior.factors)
  usages = prior.usage(state.prior)
  grid_key, *factor_keys = jax.random.split(key, num_factors + 1)
  figure = Figure(figsize=(6 + 5.5 * num_factors, 6.6), layout="constrained")
  axes = figure.subplots(1, 1 + num_factors, squeeze=False)[0]
  free = np.full((1, _MEAN_OF, num_factors), -1)
  samples = _decode(experiment, state, grid_key, free)
  _show(axes[0], samples.reshape(_GRID, _GRID, *samples.shape[2:]))
  axes[0].set_title("Samples of the prior")
  for i, (usage, subkey) in enumerate(zip(usages, factor_keys, strict=True)):
    share = np.asarray(usage.share)
    order = np.argsort(-share)[:_ROWS]
    chosen = np.full((len(order), _MEAN_OF, num_factors), -1)
    chosen[..., i] = order[:, None]
    images = _decode(experiment, state, subkey, chosen)
    means = np.mean(images, 1, keepdims=True)
    axis = axes[1 + i]
    _show(axis, np.concatenate([means, images[:, :_COLUMNS]], 1))
    height = images.shape[2] + 1
    pruned = np.asarray(usage.pruned)
    axis.set_yticks(
      height * (np.arange(len(order)) + 0.5),
      [
        f"{k}: {'pruned' if pruned[k] else f'{100 * share[k]:.1f} %'}"
        for k in order
      ],
    )
    for label, k in zip(axis.get_yticklabels(), order, strict=True):
      label.set_color("tab:red" if pruned[k] else "black")
    axis.tick_params(length=0)
    axis.set_title(
      f"Factor {i}: {min(_ROWS, len(share))} of {len(share)} components, "
      "mean and samples"
    )
  return figure


def _decode(
  experiment: Experiment, state: TrainState, key: Array, components: np.ndarray
) -> np.ndarray:
  """Means of p(x|z) for z of the given components, `[rows, cols, H, W, C]`.

  In [0, 1], whatever the range of the likelihood.
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


def _show(axis: Axes, images: np.ndarray) -> None:
  """Shows `[rows, cols, H, W, C]` as one picture without ticks."""
  border = ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0))
  rows, cols, height, width, channels = images.shape
  padded = np.pad(images, border, constant_values=0.5)
  tiled = padded.transpose(0, 2, 1, 3, 4).reshape(
    rows * (height + 1), cols * (width + 1), channels
  )
  picture = tiled[..., 0] if channels == 1 else tiled
  axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
  axis.set_xticks([])
  axis.set_yticks([])
  axis.set_frame_on(False)
