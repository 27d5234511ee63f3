"""Factorial mixture prior for compositional deep generative models.

Import what you need: `fmvae.prior` is a pure JAX component that stands alone,
`fmvae.training` and `launch/` train whole models. This module loads nothing.
"""

__version__ = "0.2.0"
