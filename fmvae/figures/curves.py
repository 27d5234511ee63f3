"""The bound and its parts over the number of components (Figure 3)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fmvae.figures import table

_LABELS = {
  "bound": "test bound, eq. 11",
  "reconstruction": "reconstruction",
  "kl_z": "KL[z]",
  "kl_r": "KL[r]",
}
_PAPER = {  # data set -> K, bound and what Sec. 4.1 leaves open
  "mnist": (512, -85.77, ""),
  "omniglot": (256, -90.89, ",\nsplit and binarisation not named"),
}
_COLOR, _PAPER_COLOR, _PLAIN_COLOR = "#3b6a94", "#b5483a", "#555555"


def elbo_curves(rows: Sequence[table.Row]) -> Figure:
  """Draws Figure 3: the test bound, reconstruction, KL[z] and KL[r] over K.

  A column of four panels for each run, in the order of the table: a line
  through the means over seeds, a band from the least to the largest. A row
  without K is the N(0, I) prior after pre-training alone, a dotted line. The
  paper's own best bound is a star at its place, or an arrow at the upper edge
  where a star would flatten the curve: where it lies further above the curve
  than the curve is high.

  Args:
    rows: one for each run, K and seed, numbers or strings, with the keys run,
      dataset, split, binarisation, network, K, seed, pretrain_steps,
      prior_steps, joint_steps, and in nats bound, reconstruction, kl_z, kl_r;
      other keys are ignored. K and the last four may be empty.

  Raises:
    ValueError: no rows, a missing key, a value that is not a number, a result
      that is there twice, or a run whose rows differ in their setting.
  """
  runs = table.read_runs(rows)
  figure = Figure(figsize=(5 * len(runs), 9), layout="constrained")
  grid = figure.subplots(
    len(_LABELS),
    len(runs),
    sharex=True,
    squeeze=False,
    height_ratios=(1.7, 1, 1, 1),
  )
  for axes, run in zip(grid.T, runs, strict=True):
    _draw_run(axes, run)
  ks = [k for run in runs for k in run.curves["bound"].k]
  ks += [_PAPER[run.dataset][0] for run in runs if run.dataset in _PAPER]
  _label_ks(grid[0, 0], ks or [1])
  figure.align_ylabels()
  return figure


def _draw_run(axes: np.ndarray, run: table.Run) -> None:
  """Fills the four panels of a run."""
  setting = filter(None, (run.dataset, run.split, run.binarisation))
  steps = " + ".join(f"{n:,}" for n in run.steps)
  seeds = "1 seed" if run.seeds == 1 else f"{run.seeds} seeds"
  axes[0].set_title(
    f"{', '.join(setting)}\n{run.network}, {steps} steps, {seeds}",
    fontsize="small",
  )
  for axis, (part, label) in zip(axes, _LABELS.items(), strict=True):
    axis.set_xscale("log", base=2)
    axis.set_ylabel(f"{label} (nats)")
    axis.grid(color="0.92")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("0.6")
    axis.tick_params(color="0.6")
    _draw_curve(axis, run.curves[part])
  axes[-1].set_xlabel("number of components K")

  heights = run.curves["bound"].mean
  if run.without_mixture is not None:
    axes[0].axhline(
      run.without_mixture,
      color=_PLAIN_COLOR,
      linestyle=":",
      linewidth=1.2,
      label="N(0, I) prior, pre-training alone",
    )
    if not len(heights):
      heights = np.array([run.without_mixture])
  if run.dataset in _PAPER:
    _mark_paper(axes[0], heights, *_PAPER[run.dataset])
  handles, labels = axes[0].get_legend_handles_labels()
  axes[-1].legend(  # below the column, where it hides nothing
    handles,
    labels,
    loc="upper center",
    bbox_to_anchor=(0.5, -0.3),
    frameon=False,
    fontsize="small",
  )


def _draw_curve(axis: Axes, curve: table.Curve) -> None:
  """Line and markers at the means, a band where there are several seeds."""
  if not len(curve.k):
    return
  fewest, most = min(curve.seeds), max(curve.seeds)
  label = f"mean of {most if fewest == most else f'up to {most}'} seeds"
  axis.plot(
    curve.k,
    curve.mean,
    "o-",
    color=_COLOR,
    linewidth=1.5,
    markersize=3.5,
    label=label if most > 1 else "1 seed",
  )
  if most > 1:
    axis.fill_between(
      curve.k,
      curve.least,
      curve.largest,
      color=_COLOR,
      alpha=0.2,
      linewidth=0,
      label="least to largest of the seeds",
    )


def _mark_paper(
  axis: Axes, heights: np.ndarray, k: int, bound: float, note: str
) -> None:
  """A star at the paper's bound, an arrow if that would flatten the curve."""
  text = f"paper, convolutional, 320,000 steps: {bound}{note}"
  high, low = max(heights, default=bound), min(heights, default=bound)
  if bound - high <= high - low:
    axis.plot([k], [bound], "*", color=_PAPER_COLOR, markersize=11, label=text)
    return
  bottom, top = axis.get_ylim()
  axis.set_ylim(bottom, top + 0.25 * (top - bottom))  # a strip for the words
  edge = axis.get_xaxis_transform()
  arrow = {"arrowstyle": "-|>", "color": _PAPER_COLOR, "linewidth": 1.5}
  axis.annotate(
    "", (k, 1), (k, 0.86), xycoords=edge, textcoords=edge, arrowprops=arrow
  )
  axis.annotate(
    text,
    (k, 0.93),
    (-8, 0),
    xycoords=edge,
    textcoords="offset points",
    ha="right",
    va="center",
    fontsize="small",
    color=_PAPER_COLOR,
  )


def _label_ks(axis: Axes, ks: list[int]) -> None:
  """Ticks at the powers of two around `ks`, named by K, on a shared axis."""
  low, high = math.log2(min(ks)), math.log2(max(ks))
  ticks = [2**i for i in range(math.floor(low), math.ceil(high) + 1)]
  axis.set_xticks(ticks, [str(k) for k in ticks])
  axis.xaxis.minorticks_off()
  axis.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
