"""Figures of named factors and grids: layout, what is kept, what is marked."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np
import pytest

from fmvae import figures, prior
from fmvae.figures import named as named_figures
from fmvae.model import Model
from tests import named

KEY = jax.random.key(0)
ENDS = np.cumsum([0, 2, 2, 2, 2, 2])


@pytest.fixture(scope="module")
def exp():
  return named.build()


@pytest.fixture(scope="module")
def state(exp):
  return named.started(exp)


class Recording(Model):
  """Keeps the z that it renders, and the components that it draws."""

  rendered: ClassVar[list] = []
  drawn: ClassVar[list] = []

  def render(self, state, z):
    self.rendered.append(np.asarray(z))
    return super().render(state, z)

  def draw(self, state, key, components):
    self.drawn.append(components.copy())
    return super().draw(state, key, components)


@pytest.fixture
def recording(exp):
  Recording.rendered.clear()
  Recording.drawn.clear()
  return named.recast(exp.model, Recording)


def part(z, factor):
  return z[..., ENDS[factor] : ENDS[factor + 1]]


def labels(axis, of="y"):
  ticks = axis.get_yticklabels() if of == "y" else axis.get_xticklabels()
  return [(t.get_text(), t.get_color()) for t in ticks]


def without(state, factor, k):
  """Component k of a factor back at the hyperprior: pruned."""
  f, h = state.prior.factors[factor], prior.Hyperprior()
  gone = {"m": h.m0, "s": h.s0, "a": h.a0, "b": h.b0, "c": h.c0}
  factors = list(state.prior.factors)
  factors[factor] = dataclasses.replace(
    f, **{name: getattr(f, name).at[k].set(v) for name, v in gone.items()}
  )
  return state.replace(prior=prior.from_mean_params(factors, h))


def test_figure_6_changes_one_property_and_keeps_the_rest(state, recording):
  figure = figures.named_rows(recording, state, KEY)
  z = np.stack(recording.rendered)
  assert z.shape == (8, 24, 10)  # a column for each of 3 x 4 x 2 settings
  z = z.reshape(8, 3, 4, 2, 10)
  for axis, factor in ((1, 0), (2, 1), (3, 2)):
    moved = np.moveaxis(part(z, factor), axis, 1).reshape(8, z.shape[axis], -1)
    assert (np.ptp(moved, axis=1) > 0).any()
    for other in {1, 2, 3} - {axis}:
      # Along every other property this z_i stays the same.
      assert (np.ptp(part(z, factor), axis=other) == 0).all()
  assert (np.ptp(z[..., 6:], axis=(1, 2, 3)) == 0).all()
  assert (np.ptp(z[..., 6:], axis=0) > 0).all()
  names = [text for text, _ in labels(figure.axes[0], "x")]
  assert names[0] == "disc\nred\nsmall"
  assert names[-1] == "triangle\nyellow\nlarge"


def test_figure_6_draws_the_components_that_it_names(state, recording):
  # Components far apart and tight, so that z tells its own.
  apart = [
    dataclasses.replace(
      f, m=0 * f.m + 100.0 * np.arange(len(f.m))[:, None], b=1e-4 * f.a
    )
    for f in state.prior.factors
  ]
  state = state.replace(prior=prior.from_mean_params(apart))
  figures.named_rows(recording, state, KEY)
  z = np.stack(recording.rendered)
  assert z.shape == (8, 24, 10)
  codes = jax.jit(prior.codes)
  assigned = codes(state.prior, z, np.full(z.shape, -20.0))
  for row in assigned[..., :3]:
    np.testing.assert_array_equal(row, list(np.ndindex(3, 4, 2)))


def test_figure_1_keeps_everything_else_in_a_block(state, recording):
  figure = figures.named_blocks(recording, state, KEY)
  rows = np.stack(recording.rendered)
  assert rows.shape == (24, 5, 10)
  blocks = rows.reshape(2, 12, 5, 10)
  for z in blocks:
    assert (np.ptp(part(z, 0), axis=1) > 0).all()  # drawn anew in each image
    assert (np.ptp(z[..., 4:], axis=(0, 1)) == 0).all()
  assert (blocks[0, 0, 0] != blocks[1, 0, 0]).all()
  assert labels(figure.axes[0])[0][0] == "disc, red"


def test_named_components_that_are_pruned_say_so(exp, state):
  pruned = without(state, 1, 2)
  figure = figures.named_blocks(exp.model, pruned, KEY)
  marked = [x for x in labels(figure.axes[0]) if x[1] == "tab:red"]
  assert [text for text, _ in marked] == [
    f"{shape}, blue (pruned)" for shape in ("disc", "bar", "triangle")
  ]
  for axis in figure.axes:
    assert np.isfinite(axis.images[0].get_array()).all()


def test_figure_5_shows_mean_std_and_sample(exp, state):
  figure = figures.mean_std_sample(exp.model, state, KEY)
  (axis,) = figure.axes
  heads = [text for text, _ in labels(axis, "x")]
  assert heads[0] == "mean"
  assert heads[1].startswith("std\n(white = ")
  assert heads[2] == "sample"
  picture = axis.images[0].get_array()
  assert picture.shape == (6 * 33, 3 * 33, 3)
  mean, std, sample = (picture[:, i * 33 : i * 33 + 32] for i in range(3))
  assert np.abs(sample - mean).max() > 0.01
  assert (std <= 1).all()


def test_figure_8_is_a_grid_over_two_factors(state, recording):
  pruned = without(state, 3, 4)
  figure = figures.component_grid(recording, pruned, KEY, num_samples=3)
  # Five components of factor 3 and the ten largest of the twelve of factor 4.
  drawn = np.stack(recording.drawn)
  assert drawn.shape == (50, 3, 5)
  assert (drawn[..., :3] == -1).all()
  shown = {(c[0, 3], c[0, 4]) for c in drawn}
  assert len(shown) == 50
  (axis,) = figure.axes
  assert axis.images[0].get_array().shape == (5 * 33, 10 * 33, 3)
  assert np.isfinite(axis.images[0].get_array()).all()
  assert labels(axis)[-1] == ("4 pruned", "tab:red")
  assert all(colour == "black" for _, colour in labels(axis)[:-1])


def test_figures_9_and_10_fix_the_last_named_factor(exp, state):
  for last, name in ((0, "small"), (1, "large")):
    figure = figures.named_grids(
      exp.model, state, KEY, last, side=2, num_samples=2
    )
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert len(titles) == 12
    assert titles[0] == f"(disc, red, {name})"
    assert titles[-1] == f"(triangle, yellow, {name})"
    # The two unnamed factors, the one with most components first.
    assert figure.axes[0].get_ylabel() == "factor 4"
    assert figure.axes[0].get_xlabel() == "factor 3"
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (2 * 33, 2 * 33, 3)


def test_what_a_figure_needs_is_said(exp, state):
  plain = named.build(dataset={"labels": ()})
  for draw in (figures.named_rows, figures.named_blocks, figures.named_grids):
    with pytest.raises(ValueError, match="iterates over named factors"):
      draw(plain.model, state, KEY)
  with pytest.raises(ValueError, match="size has no component 2"):
    figures.named_grids(exp.model, state, KEY, 2)
  one = named.build(dataset={"labels": ()}, factors=((10, 4),))
  with pytest.raises(
    ValueError, match="two factors with components, the run has 1"
  ):
    figures.component_grid(one.model, state, KEY)
  labels = ((0, "shape"), (1, "colour"), (2, "size"), (4, "background"))
  few = named.build(dataset={"labels": labels})
  with pytest.raises(ValueError, match="without a name, the run has 1"):
    figures.named_grids(few.model, state, KEY)
  assert named_figures.settings(few.model, state)[0].names[-1] == "dark"
