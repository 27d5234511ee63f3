"""Pictures of a trained model, one function a figure."""

from fmvae.figures.samples import component_samples

__all__ = ["component_samples"]
