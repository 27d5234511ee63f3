"""The picture of samples stays finite and marks pruned components."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments import digits
from fmvae import experiment, figures, prior


def test_pruned_components_are_marked_and_finite(prepared):
  config = digits.get_config("smoke")
  config.factors = ((12, 5), (4, 2))
  exp = experiment.build(config, data_dir=prepared)
  state = experiment.init(exp)
  # Component 3 of factor 0 back at the hyperprior: 0.02 degrees of freedom.
  f, h = state.prior.factors[0], prior.Hyperprior()
  gone = {"m": h.m0, "s": h.s0, "a": h.a0, "b": h.b0, "c": h.c0}
  pruned = dataclasses.replace(
    f, **{name: getattr(f, name).at[3].set(v) for name, v in gone.items()}
  )
  factors = (pruned, state.prior.factors[1])
  state = state.replace(prior=prior.from_mean_params(factors, h))
  figure = figures.component_samples(exp.model, state, jax.random.key(0))
  axes = figure.axes
  assert len(axes) == 3
  labels = [t.get_text() for t in axes[1].get_yticklabels()]
  assert labels[-1] == "3: pruned"
  assert sum("pruned" in label for label in labels) == 1
  for axis in axes:
    assert np.isfinite(axis.images[0].get_array()).all()
  assert jnp.isfinite(state.prior.factors[0].m).all()
