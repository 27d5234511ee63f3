"""Draws a figure of the paper, from a run or from a table of results.

  python -m launch.figures --workdir=runs/omniglot_mlp --figure=4
  python -m launch.figures --table=results.csv --figure=3

The first command leaves figure4.png in the folder of the run (of a step before
the last figure4_step_STEP.png), the second one figure3.png beside the table.
"""

import csv
import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
from absl import flags
from matplotlib.figure import Figure

from fmvae import figures
from fmvae.storage import StorageError, storing
from fmvae.training.report import file_name, result_step
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_KEY_SEED = 2
_DPI = 150


_FIGURE = flags.DEFINE_enum(
  "figure",
  None,
  sorted(
    figures.OF_A_RUN | figures.OF_A_TABLE, key=lambda name: (len(name), name)
  ),
  "The number of the figure in the paper, or 'samples' for the picture that "
  "launch.evaluate leaves.",
  required=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "The folder of a run that launch.train has made. All figures but 3 are drawn "
  "from a run.",
)
_TABLE = flags.DEFINE_string(
  "table",
  None,
  "A CSV file that launch.sweep has made. Figure 3 is drawn from it.",
)
_COMPONENTS = flags.DEFINE_list(
  "components",
  None,
  "The components that figure 4 shows, such as 3,17,20. By default they are "
  "those with the largest share.",
)
_FACTOR = flags.DEFINE_integer(
  "factor",
  0,
  "The factor whose components figure 4 shows, counted from 0.",
)
_OUT = flags.DEFINE_string(
  "out",
  None,
  "The .png, .pdf or .svg file to write. By default it is figure4.png and so "
  "on, in the folder of the run or of the table.",
)


def _of_table(path: pathlib.Path) -> Callable[[], Figure]:
  try:
    with path.open(newline="") as file:
      rows = list(csv.DictReader(file))
  except (UnicodeDecodeError, csv.Error):
    raise ValueError(f"--table {path} is not a CSV file") from None
  return functools.partial(figures.OF_A_TABLE[_FIGURE.value], rows)


def _of_run(
  argv: list[str], workdir: pathlib.Path, out: pathlib.Path
) -> tuple[Callable[[], Figure], pathlib.Path]:
  """Draws the figure; the file names the step if that is not its result."""
  run = trained.restore_mixture(argv, workdir)
  run.model.require_pictures("a figure needs")
  if _OUT.value is None:
    last = result_step(workdir, run.total)
    out = out.with_name(file_name(out.name, run.step, last))
  options = _options_of_figure_4() if _FIGURE.value == "4" else {}
  draw, key = figures.OF_A_RUN[_FIGURE.value], jax.random.key(_KEY_SEED)
  return functools.partial(draw, run.model, run.state, key, **options), out


def _options_of_figure_4() -> dict[str, Any]:
  components = None
  if named := _COMPONENTS.value:
    try:
      components = [int(k) for k in named]
    except ValueError:
      raise ValueError(
        f"--components must be numbers such as 3,17,20, got {','.join(named)}"
      ) from None
  return {"components": components, "factor": _FACTOR.value}


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
  of_a_table = _FIGURE.value in figures.OF_A_TABLE
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
    if of_a_table:
      draw = _of_table(path)
    else:
      draw, out = _of_run(argv, path, out)
    with storing(out.parent, trained.ADVICE):
      figures.write(draw, out, _DPI)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}")


if __name__ == "__main__":
  common.run(main)
