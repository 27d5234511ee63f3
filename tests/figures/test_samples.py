"""The picture of samples stays finite and leaves pruned components out."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import digits
from fmvae import experiment, figures, prior
from fmvae.figures import tiles


def test_pruned_components_are_left_out_and_names_are_said(prepared):
  config = digits.get_config("smoke")
  config.factors = ((12, 5), (4, 2))
  config.dataset.labels = ((1, "label", (7, 3)),)
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
  assert sorted(label[:3] for label in labels) == ["0: ", "1: ", "2: ", "4: "]
  names = [t.get_text() for t in axes[2].get_yticklabels()]
  assert sorted(name.partition(":")[0] for name in names) == ["3", "7"]
  assert axes[2].get_title().startswith("Factor 1, label: 2 of 2 components")
  # The second factor stands below the first one.
  assert axes[1].get_subplotspec().colspan == axes[2].get_subplotspec().colspan
  for axis in axes:
    assert np.isfinite(axis.images[0].get_array()).all()
  assert jnp.isfinite(state.prior.factors[0].m).all()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_equal_arrays_make_equal_files(kind, tmp_path):
  images = np.linspace(0, 1, 2 * 3 * 16).reshape(2, 3, 4, 4, 1)

  def draw():
    figure = Figure(figsize=(2, 2), layout="constrained")
    axis = figure.subplots()
    tiles.show(axis, images)
    tiles.label_rows(axis, 4, ["0: 71.2 %", "1: pruned"], np.array([0, 1]))
    return figure

  first, second = tmp_path / f"first.{kind}", tmp_path / f"second.{kind}"
  figures.write(draw, first, dpi=50)
  before = dict(mpl.rcParams)
  with mpl.rc_context({"font.size": 20, "savefig.facecolor": "red"}):
    Figure().subplots(2, 2)  # another figure, other settings
    figures.write(draw, second, dpi=50)
  assert dict(mpl.rcParams) == before
  assert first.read_bytes() == second.read_bytes()
  assert b"Date" not in first.read_bytes()
