"""Pictures of results and of a trained model, one function a figure."""

from fmvae.figures.clusters import cluster_samples
from fmvae.figures.curves import elbo_curves
from fmvae.figures.grids import component_grid, named_grids
from fmvae.figures.named import named_blocks, named_rows
from fmvae.figures.samples import component_samples, mean_std_sample

__all__ = [
  "cluster_samples",
  "component_grid",
  "component_samples",
  "elbo_curves",
  "mean_std_sample",
  "named_blocks",
  "named_grids",
  "named_rows",
]
