"""Figure 4 shows the draws that it says it shows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import digits
from fmvae import experiment, figures, prior
from fmvae.model import Model, TrainState
from tests import named

SIZE = 8  # of an image, and a border of one pixel


def change(state: TrainState, factor: int, k: int, **values) -> TrainState:
  """Sets mean parameters of one component."""
  factors = list(state.prior.factors)
  new = {
    name: getattr(factors[factor], name).at[k].set(value)
    for name, value in values.items()
  }
  factors[factor] = dataclasses.replace(factors[factor], **new)
  h = state.prior.hyperprior
  return state.replace(prior=prior.from_mean_params(tuple(factors), h))


@pytest.fixture(scope="module")
def trained(prepared):
  """An experiment with factors of 12 and 4 dimensions, and a state."""
  config = digits.get_config("smoke")
  config.factors = ((12, 9), (4, 2))
  exp = experiment.build(config, data_dir=prepared)
  state = experiment.init(exp)
  for k, count in enumerate((5, 3, 9, 8, 2, 7, 4, 6, 1)):
    state = change(state, 0, k, c=100.0 * count)
  return exp, state


def tiles(axis, columns):
  """The images of an axis, `[rows, columns, H, W]`."""
  picture = np.asarray(axis.images[0].get_array())
  assert picture.shape[1] == columns * (SIZE + 1)
  split = picture.reshape(-1, SIZE + 1, columns, SIZE + 1)
  return split.transpose(0, 2, 1, 3)[..., :SIZE, :SIZE]


def labels(figure):
  return [t.get_text() for t in figure.axes[0].get_yticklabels()]


def test_six_components_with_the_largest_share(trained):
  exp, state = trained
  figure = figures.cluster_samples(exp.model, state, jax.random.key(0))
  assert labels(figure) == [
    f"component {k}, {share:.1f} %"
    for k, share in zip(
      (2, 3, 5, 7, 0, 6), 100 * np.arange(9, 3, -1) / 45, strict=True
    )
  ]
  for axis, columns in zip(figure.axes, (1, 1, 5), strict=True):
    shown = tiles(axis, columns)
    assert shown.shape == (6, columns, SIZE, SIZE)
    assert np.isfinite(shown).all()
  assert figure.axes[0].get_title() == "mean"
  assert figure.axes[2].get_title() == "samples"
  assert figure.get_suptitle() == "Factor 0"


def test_the_variance_has_the_scale_that_its_heading_states(trained):
  exp, state = trained
  figure = figures.cluster_samples(exp.model, state, jax.random.key(0))
  axis = figure.axes[1]
  low, white = axis.images[0].get_clim()
  assert axis.get_title() == f"variance\n(white = {white:g})"
  assert low == 0
  assert white == pytest.approx(tiles(axis, 1).max(), rel=0.05)
  assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_mean_and_variance_are_those_of_draws(trained):
  exp, state = trained
  shown = figures.cluster_samples(exp.model, state, jax.random.key(0), [3])
  chosen = jnp.array([3, -1])
  z, _ = prior.sample(jax.random.key(7), state.prior, (4000,), chosen)
  draws = np.asarray(
    exp.model.likelihood.mean(exp.model.vae.decode(state.params, z))
  )[..., 0]
  assert draws.std(0).min() > 0.01  # there is something to see
  stderr = draws.std(0) * np.sqrt(1 / 1000 + 1 / 4000)
  error = tiles(shown.axes[0], 1)[0, 0] - draws.mean(0)
  assert np.abs(error / stderr).max() < 5
  np.testing.assert_allclose(
    tiles(shown.axes[1], 1)[0, 0], draws.var(0), rtol=0.3
  )


def test_a_component_without_spread_shows_its_centre(trained):
  exp, state = trained
  for factor, k, m in ((0, 4, 0.7), (1, 0, -0.4), (1, 1, -0.4)):
    state = change(state, factor, k, m=m, s=1e6, a=1e6, b=1e-6)
  figure = figures.cluster_samples(exp.model, state, jax.random.key(0), [4, 2])
  z = jnp.concatenate([jnp.full(12, 0.7), jnp.full(4, -0.4)])
  centre = exp.model.likelihood.mean(exp.model.vae.decode(state.params, z))
  mean, variance, samples = (
    tiles(axis, columns)
    for axis, columns in zip(figure.axes, (1, 1, 5), strict=True)
  )
  for image in (mean[0, 0], *samples[0]):
    np.testing.assert_allclose(image, centre[..., 0], atol=1e-4)
  assert variance[0].max() < 1e-6
  assert variance[1].max() > 1e-4
  assert labels(figure)[0].startswith("component 4, ")


def test_the_other_factor(trained):
  exp, state = trained
  tight = {"s": 1e6, "a": 1e6, "b": 1e-6}
  for k in range(9):
    state = change(state, 0, k, m=0.7, **tight)
  for k, m in enumerate((-2.0, 2.0)):
    state = change(state, 1, k, m=m, **tight)
  figure = figures.cluster_samples(
    exp.model, state, jax.random.key(0), [1, 0], 1
  )
  for shown, m in zip(tiles(figure.axes[0], 1), (2.0, -2.0), strict=True):
    z = jnp.concatenate([jnp.full(12, 0.7), jnp.full(4, m)])
    centre = exp.model.likelihood.mean(exp.model.vae.decode(state.params, z))
    np.testing.assert_allclose(shown[0], centre[..., 0], atol=1e-4)
  assert [x.split(",")[0] for x in labels(figure)] == [
    "component 1",
    "component 0",
  ]


def test_pruned_components_are_marked_and_finite(trained):
  exp, state = trained
  h = prior.Hyperprior()
  state = change(state, 0, 3, m=h.m0, s=h.s0, a=h.a0, b=h.b0, c=h.c0)
  figure = figures.cluster_samples(exp.model, state, jax.random.key(0), (2, 3))
  assert labels(figure)[1] == "component 3, pruned"
  assert "pruned" not in labels(figure)[0]
  colors = [t.get_color() for t in figure.axes[0].get_yticklabels()]
  assert colors == ["black", "tab:red"]
  for axis in figure.axes:
    assert np.isfinite(axis.images[0].get_array()).all()


def test_colour_images_have_a_grey_variance(trained):
  exp, state = trained
  pixels = np.random.default_rng(0).uniform(size=(10, 100, SIZE, SIZE, 3))
  rows = iter(pixels.astype(np.float32))

  class Coloured(Model):
    def draw(self, state, key, components):
      assert np.shape(components) == (100, 2)
      return next(rows)

  model = named.recast(exp.model, Coloured)
  figure = figures.cluster_samples(model, state, jax.random.key(0), [0])
  assert next(rows, None) is None
  mean, variance, samples = (
    np.asarray(axis.images[0].get_array()) for axis in figure.axes
  )
  assert mean.shape == (SIZE + 1, SIZE + 1, 3)
  assert samples.shape == (SIZE + 1, 5 * (SIZE + 1), 3)
  flat = pixels.reshape(1000, SIZE, SIZE, 3)
  np.testing.assert_allclose(mean[:SIZE, :SIZE], flat.mean(0), rtol=1e-4)
  np.testing.assert_allclose(
    variance[:SIZE, :SIZE], flat.var(0).mean(-1), rtol=1e-4
  )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"factor": 2}, r"factor must be from 0 to 1, got 2"),
    ({"factor": -1}, r"factor must be from 0 to 1, got -1"),
    ({"components": [1, 9]}, r"components of factor 0 .* 8, got \[9\]"),
    ({"components": [-1]}, r"components of factor 0 .* got \[-1\]"),
    ({"components": [2], "factor": 1}, r"components of factor 1 .* 0 to 1"),
    ({"components": []}, r"components of factor 0 .* got none"),
  ],
)
def test_errors_name_the_argument(trained, options, message):
  exp, state = trained
  with pytest.raises(ValueError, match=message):
    figures.cluster_samples(exp.model, state, jax.random.key(0), **options)
