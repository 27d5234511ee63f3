"""Pictures of results and of a trained model, one function a figure."""

from fmvae.figures.clusters import cluster_samples
from fmvae.figures.curves import elbo_curves
from fmvae.figures.samples import component_samples

__all__ = ["cluster_samples", "component_samples", "elbo_curves"]
