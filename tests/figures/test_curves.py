"""Figure 3 shows what its table says."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Annotation

from fmvae import figures

PARTS = ("bound", "reconstruction", "kl_z", "kl_r")
PLAIN = "N(0, I) prior, pre-training alone"
PAPER = {"mnist": -85.77, "omniglot": -90.89}


def make_row(k, seed, bound, dataset="mnist", **fields):
  return {
    "run": f"{dataset}_mlp",
    "dataset": dataset,
    "split": "official",
    "binarisation": "dynamic",
    "network": "mlp",
    "K": k,
    "seed": seed,
    "pretrain_steps": 15000,
    "prior_steps": 2000,
    "joint_steps": 8000,
    "bound": bound,
    "reconstruction": bound + 20.0 + seed,
    "kl_z": 18.0 + seed / 2,
    "kl_r": 2.0 + seed / 2,
    "commit": "abc",
  } | fields


def make_rows(bounds, **fields):
  """Rows of `bounds[k][seed]`."""
  return [
    make_row(k, seed, bound, **fields)
    for k, of_seeds in bounds.items()
    for seed, bound in enumerate(of_seeds)
  ]


BOUNDS = {
  1: (-97.0, -96.5, -97.2),
  2: (-95.9, -96.0, -95.0),
  16: (-94.0, -94.2, -94.5),
}


def curve(axis):
  """The x and y of the line through the means."""
  (line,) = [x for x in axis.lines if x.get_marker() == "o"]
  return line.get_xdata(), line.get_ydata()


def stars(axis):
  return [x for x in axis.lines if x.get_marker() == "*"]


def arrows(axis):
  return [x for x in axis.texts if isinstance(x, Annotation) and x.arrow_patch]


def legend(axes):
  return [x.get_text() for x in axes[-1].get_legend().get_texts()]


def band(axis, k):
  """Least and largest y of the band at x = k."""
  (collection,) = axis.collections
  vertices = collection.get_paths()[0].vertices
  at_k = vertices[vertices[:, 0] == k, 1]
  return at_k.min(), at_k.max()


def test_lines_are_means_and_bands_reach_from_least_to_largest():
  rows = make_rows(BOUNDS)
  axes = figures.elbo_curves(rows[::-1]).axes
  assert len(axes) == 4
  for axis, part in zip(axes, PARTS, strict=True):
    x, y = curve(axis)
    np.testing.assert_array_equal(x, [1, 2, 16])
    for k, mean in zip(x, y, strict=True):
      values = [row[part] for row in rows if row["K"] == k]
      assert mean == pytest.approx(np.mean(values))
      assert band(axis, k) == (min(values), max(values))
  assert legend(axes) == ["mean of 3 seeds", "least to largest of the seeds"]


def test_ticks_are_named_by_k():
  figure = figures.elbo_curves(make_rows(BOUNDS, dataset="other"))
  figure.draw_without_rendering()
  labels = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
  assert labels == ["1", "2", "4", "8", "16"]
  x = figure.axes[0].transData.transform([(k, -95) for k in (1, 2, 4)])[:, 0]
  assert x[1] - x[0] == pytest.approx(x[2] - x[1])


def test_a_column_for_each_run_with_its_title():
  omniglot = make_rows(
    {4: (-120.0,)}, dataset="omniglot", split="random 24345/8070"
  )
  axes = figures.elbo_curves(make_rows(BOUNDS) + omniglot).axes
  grid = np.reshape(axes, (4, 2))
  assert [axis.get_title() for axis in grid[0]] == [
    "mnist, official, dynamic\nmlp, 15,000 + 2,000 + 8,000 steps, 3 seeds",
    "omniglot, random 24345/8070, dynamic\n"
    "mlp, 15,000 + 2,000 + 8,000 steps, 1 seed",
  ]
  for row, of_run in itertools.product(grid, (0, 1)):
    assert len(curve(row[of_run])[0]) == (3, 1)[of_run]


def test_a_single_seed_has_no_band():
  axes = figures.elbo_curves(make_rows({1: (-97.0,), 4: (-95.0,)})).axes
  assert not any(axis.collections for axis in axes)
  assert legend(axes) == ["1 seed"]


def test_rows_without_k_are_a_dotted_line_in_the_bound_panel_alone():
  plain = [
    make_row("", seed, bound, prior_steps=0, joint_steps=0)
    for seed, bound in enumerate((-98.0, -97.0))
  ]
  axes = figures.elbo_curves(plain + make_rows(BOUNDS)).axes
  (line,) = [x for x in axes[0].lines if x.get_label() == PLAIN]
  np.testing.assert_allclose(line.get_ydata(), -97.5)
  assert line.get_linestyle() == ":"
  assert PLAIN in legend(axes)
  assert [len(axis.lines) for axis in axes] == [2, 1, 1, 1]
  assert "15,000 + 2,000 + 8,000 steps" in axes[0].get_title()
  alone = figures.elbo_curves(plain).axes
  assert legend(alone) == [PLAIN]
  assert "15,000 + 0 + 0 steps, 2 seeds" in alone[0].get_title()


@pytest.mark.parametrize("dataset", ["mnist", "omniglot", "uci_digits"])
@pytest.mark.parametrize("above", [0.5, 2.9, 3.1, 30.0])
def test_the_paper_is_a_star_or_an_arrow_where_that_would_flatten(
  dataset, above
):
  top = PAPER.get(dataset, -80.0) - above
  bounds = {1: (top - 3,), 4: (top - 1,), 64: (top,)}  # 3 nats high
  axes = figures.elbo_curves(make_rows(bounds, dataset=dataset)).axes
  known = dataset in PAPER
  assert len(stars(axes[0])) == (known and above < 3)
  assert len(arrows(axes[0])) == (known and above > 3)
  low, high = axes[0].get_ylim()
  assert high - low < 8  # the curve keeps its height
  words = [x.get_text() for x in axes[0].texts] + legend(axes)
  marks = [x for x in words if x.startswith("paper, conv")]
  assert len(marks) == known
  if known:
    assert f"320,000 steps: {PAPER[dataset]}" in marks[0]
    assert ("not named" in marks[0]) == (dataset == "omniglot")
    k = {"mnist": 512, "omniglot": 256}[dataset]
    for star in stars(axes[0]):
      assert (star.get_xdata()[0], star.get_ydata()[0]) == (k, PAPER[dataset])
    for arrow in arrows(axes[0]):
      assert arrow.xy == (k, 1)
  for axis in axes[1:]:
    assert not stars(axis)
    assert not arrows(axis)


def test_a_sweep_half_finished():
  rows = make_rows(BOUNDS)
  del rows[7:]  # one seed of K = 16
  rows[4]["bound"] = ""  # seed 1 of K = 2
  axes = figures.elbo_curves(rows).axes
  np.testing.assert_allclose(curve(axes[0])[1], [-96.9, -95.45, -94.0])
  assert band(axes[0], 2) == (-95.9, -95.0)
  assert band(axes[0], 16) == (-94.0, -94.0)
  assert legend(axes)[0] == "mean of up to 3 seeds"
  for row in rows:
    row["bound"] = None
  axes = figures.elbo_curves(rows).axes
  assert not axes[0].collections
  assert len(curve(axes[1])[0]) == 3


def test_strings_do_as_well():
  rows = [make_row("", 0, -98.0), *make_rows(BOUNDS)]
  texts = [{name: str(value) for name, value in row.items()} for row in rows]
  numbers, strings = (figures.elbo_curves(x).axes for x in (rows, texts))
  for a, b in zip(numbers, strings, strict=True):
    assert a.get_title() == b.get_title()
    assert len(a.lines) == len(b.lines)
    for line, other in zip(a.lines, b.lines, strict=True):
      np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda rows: rows.clear(), "rows must hold at least one result"),
    (lambda rows: rows[0].pop("kl_r"), "must have the key 'kl_r'"),
    (lambda rows: rows[0].update(bound="x"), "bound must be a number, got 'x'"),
    (lambda rows: rows[0].update(bound="inf"), "bound must be a number"),
    (lambda rows: rows[0].update(K="1.5"), "K must be a whole number"),
    (lambda rows: rows[0].update(K=0), "K must be a whole number"),
    (
      lambda rows: rows.append(rows[0]),
      "'mnist_mlp' hold K = '1', seed 0 twice",
    ),
    (lambda rows: rows[0].update(joint_steps=9), "must share one joint_steps"),
    (lambda rows: rows[0].update(split="other"), "must share one split"),
  ],
)
def test_errors_name_what_is_wrong(change, message):
  rows = make_rows(BOUNDS)
  change(rows)
  with pytest.raises(ValueError, match=message):
    figures.elbo_curves(rows)
