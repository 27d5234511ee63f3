"""Pictures as files."""

import pathlib
from collections.abc import Callable

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure

from fmvae.storage import replacing

_DATES = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def write(draw: Callable[[], Figure], path: pathlib.Path, dpi: int) -> None:
  """Draws a figure and writes it whole; equal arrays give equal bytes.

  Matplotlib's own settings count, not those of a user's matplotlibrc or of
  what this process has drawn before, and no date is kept.

  Args:
    draw: returns the figure.
    path: .png, .pdf or .svg.
    dpi: dots per inch.

  Raises:
    OSError: it cannot be written.
  """
  with (
    mpl.style.context("default"),
    mpl.rc_context({"svg.hashsalt": "fmvae"}),
    replacing(path) as temporary,
  ):
    draw().savefig(temporary, dpi=dpi, metadata=_DATES.get(path.suffix))
