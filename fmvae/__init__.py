"""Factorial mixture prior for compositional deep generative models.

`fmvae.load` gives a trained model, `fmvae.fit` trains one on arrays;
`fmvae.prior` is a pure JAX component that stands alone. Each is loaded when it
is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from fmvae import prior
  from fmvae.trained import Trained, fit, load

__version__ = "0.2.0"
__all__ = ["Trained", "fit", "load", "prior"]


def __getattr__(name: str) -> Any:
  if name not in __all__:
    raise AttributeError(f"module 'fmvae' has no attribute {name!r}")
  if name == "prior":
    return importlib.import_module("fmvae.prior")
  from fmvae import extras

  with extras.needed(f"fmvae.{name}"):
    return getattr(importlib.import_module("fmvae.trained"), name)


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
