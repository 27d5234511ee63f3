"""Draws a figure of the paper, from a run or from a table of results.

  python -m launch.figures --workdir=runs/omniglot_mlp --figure=4
  python -m launch.figures --table=results.csv --figure=3

The first command leaves figure4.png in the folder of the run (of a step before
the last figure4_step_STEP.png), the second one figure3.png beside the table.
--figure=samples leaves samples.png, the same picture as training does.
"""

import csv
import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from fmvae import figures
from fmvae.storage import StorageError, storing
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_DPI = 150
_NAMES = sorted(
  figures.OF_A_RUN | figures.OF_A_TABLE, key=lambda name: (len(name), name)
)
_FIGURE = flags.DEFINE_enum(
  "figure",
  None,
  _NAMES,
  "The number of the figure in the paper, or 'samples'. All but 3 are drawn "
  "from a run.\n"
  + "\n".join(f"{name}: {figures.describe(name)}" for name in _NAMES),
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

Draw = Callable[[], Any]


def _of_table(name: str, path: pathlib.Path) -> Draw:
  try:
    with path.open(newline="") as file:
      rows = list(csv.DictReader(file))
  except FileNotFoundError:
    raise ValueError(f"--table {path} is not there") from None
  except (UnicodeDecodeError, csv.Error):
    raise ValueError(f"--table {path} is not a CSV file") from None
  return functools.partial(figures.get(name), rows)


def _of_run(
  argv: list[str], name: str, out: pathlib.Path
) -> tuple[Draw, pathlib.Path]:
  """Draws the figure; the file names the step if that is not its result."""
  import jax

  from fmvae.training.report import PICTURE_SEED, file_name, result_step

  run = trained.restore_mixture(argv)
  run.model.require_pictures("a figure needs")
  if _OUT.value is None:
    last = result_step(trained.workdir(), run.total)
    out = out.with_name(file_name(out.name, run.step, last))
  options = _options_of_figure_4() if name == "4" else {}
  draw, key = figures.get(name), jax.random.key(PICTURE_SEED)
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


def _where(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The file to write, by default in `folder`."""
  if _OUT.value is None:
    prefix = "figure" if name.isdecimal() else ""
    return folder / f"{prefix}{name}.png"
  out = pathlib.Path(_OUT.value)
  if out.suffix not in (".png", ".pdf", ".svg"):
    raise ValueError(f"--out must end in .png, .pdf or .svg, got {out}")
  if not out.parent.is_dir():
    raise ValueError(f"--out is in the folder {out.parent}, which is not there")
  return out


def main(argv: list[str]) -> None:
  """Draws the figure and writes it."""
  from fmvae.training.report import PICTURE_DPI

  try:
    name = common.needed(_FIGURE)
    if len(argv) > 1:
      raise ValueError(f"unexpected argument {argv[1]!r}")
    if name != "4" and (_COMPONENTS.value or _FACTOR.value):
      raise ValueError("--components and --factor are for --figure=4 alone")
    if _TABLE.value and name not in figures.OF_A_TABLE:
      raise ValueError("--table is for --figure=3 alone")
    if name in figures.OF_A_TABLE:
      table = pathlib.Path(common.needed(_TABLE))
      out = _where(table.parent, name)
      draw = _of_table(name, table)
    else:
      out = _where(trained.workdir(), name)
      draw, out = _of_run(argv, name, out)
    dpi = PICTURE_DPI if name == "samples" else _DPI  # as training draws it
    with storing(out.parent, trained.ADVICE):
      figures.write(draw, out, dpi)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}")


if __name__ == "__main__":
  common.run(main)
