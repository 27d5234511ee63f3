"""Pictures of results and of a trained model, one function a figure.

To add a figure: a file with its function, and its line in `OF_A_RUN`.
"""

import functools
from collections.abc import Callable

from matplotlib.figure import Figure

from fmvae.figures.clusters import cluster_samples
from fmvae.figures.curves import elbo_curves
from fmvae.figures.factors import factor_matrix
from fmvae.figures.files import write
from fmvae.figures.grids import component_grid, named_grids
from fmvae.figures.named import named_blocks, named_rows
from fmvae.figures.samples import component_samples, mean_std_sample

__all__ = [
  "OF_A_RUN",
  "OF_A_TABLE",
  "cluster_samples",
  "component_grid",
  "component_samples",
  "elbo_curves",
  "factor_matrix",
  "mean_std_sample",
  "named_blocks",
  "named_grids",
  "named_rows",
  "write",
]

# By the paper's number or a name of its own: drawn from (model, state, key).
OF_A_RUN: dict[str, Callable[..., Figure]] = {
  "1": named_blocks,
  "4": cluster_samples,
  "5": mean_std_sample,
  "6": named_rows,
  "8": component_grid,
  "9": named_grids,
  "10": functools.partial(named_grids, last=1),
  "samples": component_samples,
}
# Drawn from the rows of a table.
OF_A_TABLE: dict[str, Callable[..., Figure]] = {"3": elbo_curves}
