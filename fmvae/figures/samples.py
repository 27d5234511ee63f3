"""Samples of the whole prior, of each component, and of p(x|z) (Figure 5)."""

import jax
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from fmvae import prior
from fmvae.experiment import Experiment
from fmvae.figures import images as images_lib
from fmvae.training.state import TrainState

_GRID = 10  # samples of the whole prior, to a side
_ROWS = 12  # components shown of a factor
_COLUMNS = 8  # samples shown of a component
_MEAN_OF = _GRID**2  # samples that a component's mean is taken of
_DRAWS = 6  # rows of figure 5


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
  samples = images_lib.decode(experiment, state, grid_key, free)
  images_lib.show(axes[0], samples.reshape(_GRID, _GRID, *samples.shape[2:]))
  axes[0].set_title("Samples of the prior")
  for i, (usage, subkey) in enumerate(zip(usages, factor_keys, strict=True)):
    share = np.asarray(usage.share)
    order = np.argsort(-share)[:_ROWS]
    chosen = np.full((len(order), _MEAN_OF, num_factors), -1)
    chosen[..., i] = order[:, None]
    images = images_lib.decode(experiment, state, subkey, chosen)
    means = np.mean(images, 1, keepdims=True)
    axis = axes[1 + i]
    images_lib.show(axis, np.concatenate([means, images[:, :_COLUMNS]], 1))
    pruned = np.asarray(usage.pruned)[order]
    labels = [
      f"{k}: {'pruned' if gone else f'{100 * share[k]:.1f} %'}"
      for k, gone in zip(order, pruned, strict=True)
    ]
    images_lib.label_rows(axis, images.shape[2], labels, pruned)
    axis.set_title(
      f"Factor {i}: {min(_ROWS, len(share))} of {len(share)} components, "
      "mean and samples"
    )
  return figure


def mean_std_sample(
  experiment: Experiment, state: TrainState, key: Array
) -> Figure:
  """Draws Figure 5: mean, standard deviation and a sample of p(x|z).

  A row is a draw of z from the prior. The standard deviation is shown on the
  scale that its heading states, as a share of the range of x.

  Args:
    experiment: what was trained.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.
  """
  z_key, x_key = jax.random.split(key)
  model = experiment.model
  z, _ = prior.sample(z_key, state.prior, (_DRAWS,))
  raw = model.vae.decode(state.params, z)
  low, high = model.likelihood.range
  stds = np.asarray(model.likelihood.std(raw)) / (high - low)
  white = float(f"{np.max(stds):.2g}") or 1.0  # as the heading states it
  sample = model.likelihood.sample(x_key, raw)
  columns = {
    "mean": experiment.to_unit(model.likelihood.mean(raw)),
    f"std\n(white = {white:g})": np.clip(stds / white, 0, 1),
    "sample": experiment.to_unit(sample),
  }
  images = np.stack(list(columns.values()), 1)
  figure = Figure(figsize=(3.6, 0.6 + 1.2 * _DRAWS), layout="constrained")
  axis = figure.subplots()
  images_lib.show(axis, images)
  images_lib.label_columns(axis, images.shape[3], list(columns))
  return figure
