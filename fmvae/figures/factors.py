"""What the factors tell of the properties, as a matrix to look at."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

_INCHES = 0.55  # a cell's side


def factor_matrix(
  nmi: np.ndarray, factors: Sequence[str], features: Sequence[str]
) -> Figure:
  """Draws the normalised mutual information of factors and properties.

  Args:
    nmi: `[I, P]`, 0 to 1.
    factors: what each row is called.
    features: what each column is called.
  """
  rows, columns = nmi.shape
  figure = Figure(
    figsize=(2.6 + _INCHES * columns, 1.6 + _INCHES * rows),
    layout="constrained",
  )
  axes = figure.subplots()
  image = axes.imshow(nmi, cmap="Blues", vmin=0, vmax=1)
  for (i, p), value in np.ndenumerate(nmi):
    axes.text(
      p,
      i,
      f"{value:.2f}",
      ha="center",
      va="center",
      fontsize=8,
      color="white" if value > 0.6 else "black",
    )
  axes.set_xticks(range(columns), features, rotation=45, ha="right")
  axes.set_yticks(range(rows), factors)
  axes.set_title("normalised mutual information", fontsize=9)
  figure.colorbar(image, shrink=0.8)
  return figure
