"""A trained model as an object: NumPy in, NumPy out."""

from fmvae.trained.factors import Factor
from fmvae.trained.fitting import fit
from fmvae.trained.trained import Trained, load

__all__ = ["Factor", "Trained", "fit", "load"]
