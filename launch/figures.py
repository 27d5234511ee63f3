"""Draws a figure of a run, or of a table of results.

python -m launch.figures --workdir=runs/omniglot_mlp --figure=4
python -m launch.figures --table=results.csv --figure=3
"""

import csv
import functools
import pathlib
import sys
from collections.abc import Callable

import jax
from absl import app, flags
from jax import Array
from matplotlib.figure import Figure

from fmvae import figures
from fmvae.experiment import Experiment
from fmvae.files import replacing
from fmvae.training.state import TrainState
from launch import trained

_KEY_SEED = 2
_DPI = 150


def _clusters(experiment: Experiment, state: TrainState, key: Array) -> Figure:
  components = None
  if named := _COMPONENTS.value:
    try:
      components = [int(k) for k in named]
    except ValueError:
      raise ValueError(
        f"--components must be numbers such as 3,17,20, got {','.join(named)}"
      ) from None
  return figures.cluster_samples(
    experiment, state, key, components, _FACTOR.value
  )


_OF_A_RUN: dict[str, Callable[[Experiment, TrainState, Array], Figure]] = {
  "1": figures.named_blocks,
  "4": _clusters,
  "5": figures.mean_std_sample,
  "6": figures.named_rows,
  "8": figures.component_grid,
  "9": figures.named_grids,
  "10": functools.partial(figures.named_grids, last=1),
  "samples": figures.component_samples,
}
_OF_A_TABLE: dict[str, Callable[[list[dict[str, str]]], Figure]] = {
  "3": figures.elbo_curves,
}

_FIGURE = flags.DEFINE_enum(
  "figure",
  None,
  sorted(_OF_A_RUN | _OF_A_TABLE, key=lambda name: (len(name), name)),
  "Of the paper, or 'samples', which evaluation draws.",
  required=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Of the run, unless a table.")
_TABLE = flags.DEFINE_string("table", None, "CSV file for figure 3.")
_COMPONENTS = flags.DEFINE_list(
  "components", None, "For figure 4; by default those with the largest share."
)
_FACTOR = flags.DEFINE_integer("factor", 0, "For figure 4, counted from 0.")
_OUT = flags.DEFINE_string(
  "out", None, "Where to; by default figure4.png etc. beside what is drawn."
)


def _draw_table(path: pathlib.Path) -> Figure:
  try:
    with path.open(newline="") as file:
      rows = list(csv.DictReader(file))
  except (UnicodeDecodeError, csv.Error):
    raise ValueError(f"--table {path} is not a CSV file") from None
  return _OF_A_TABLE[_FIGURE.value](rows)


def _draw_run(argv: list[str], workdir: pathlib.Path) -> Figure:
  experiment, state = trained.restore_mixture(argv, workdir)
  key = jax.random.key(_KEY_SEED)
  return _OF_A_RUN[_FIGURE.value](experiment, state, key)


def _where(folder: pathlib.Path) -> pathlib.Path:
  """The file to write, by default in `folder`."""
  if _OUT.value is None:
    prefix = "figure" if _FIGURE.value.isdecimal() else ""
    return folder / f"{prefix}{_FIGURE.value}.png"
  out = pathlib.Path(_OUT.value)
  if out.suffix not in (".png", ".pdf", ".svg"):
    raise ValueError(f"--out must end in .png, .pdf or .svg, got {out}")
  if not out.parent.is_dir():
    raise ValueError(f"--out is in the folder {out.parent}, which is not there")
  return out


def main(argv: list[str]) -> None:
  """Draws the figure and writes it."""
  of_a_table = _FIGURE.value in _OF_A_TABLE
  source = _TABLE.value if of_a_table else _WORKDIR.value
  try:
    if len(argv) > 1:
      raise ValueError(f"unexpected argument {argv[1]!r}")
    if _FIGURE.value != "4" and (_COMPONENTS.value or _FACTOR.value):
      raise ValueError("--components and --factor are for --figure=4 alone")
    if source is None:
      needed = "--table" if of_a_table else "--workdir"
      raise ValueError(f"--figure={_FIGURE.value} needs a {needed}")
    path = pathlib.Path(source)
    out = _where(path.parent if of_a_table else path)
    figure = _draw_table(path) if of_a_table else _draw_run(argv, path)
    with replacing(out) as temporary:
      figure.savefig(temporary, dpi=_DPI)
  except (OSError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}")


if __name__ == "__main__":
  app.run(main)
