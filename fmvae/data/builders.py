"""What a data set says of itself, beyond what TFDS asks of a builder."""

from typing import Any

import numpy as np

from fmvae.data.archives import DataError
from fmvae.data.pixels import Fit

Features = dict[str, np.ndarray]  # name -> int32 [N], -1 where missing
ValueNames = dict[str, tuple[str, ...]]  # of the values 0, 1, .. of a feature


class Described:
  """Mixed into every builder of `fmvae.data`; what follows are the defaults.

  Attributes:
    SPLITS: names of the splits.
    SOURCE_FILES: original files that it is prepared from.
    DOWNLOADED: whether TFDS can fetch them; else a person has to.
    MAY_BE_SHOWN: whether its licence lets pictures be passed on; None where
      that is for a person to say.
    fit: what is made of an image of `to_array`.
  """

  SPLITS: tuple[str, ...] = ("train", "test")
  SOURCE_FILES: tuple[str, ...] = ()
  DOWNLOADED = False
  MAY_BE_SHOWN: bool | None = None
  fit = Fit()

  @classmethod
  def check_variant(cls, name: str) -> None:
    """Checks the part of a data set's name that comes after a slash.

    Raises:
      DataError: there is no such variant.
    """
    own: Any = cls.name  # type: ignore[attr-defined]
    raise DataError(f"Data set {own!r} has no variants, got '{own}/{name}'.")

  def stored(self) -> tuple[str, ...]:
    """The features that are read, the image among them."""
    return tuple(self.info.features)  # type: ignore[attr-defined]

  @staticmethod
  def to_array(image: np.ndarray) -> np.ndarray:
    """From a stored image to the one that is kept, uint8 `[H, W, C]`."""
    return np.asarray(image)

  def describe_features(self, arrays: Features) -> tuple[Features, ValueNames]:
    """The features of the images and what their values are called.

    Args:
      arrays: every stored feature but the image.
    """
    features: Any = self.info.features  # type: ignore[attr-defined]
    named = {
      name: tuple(feature.names)
      for name, feature in features.items()
      if getattr(feature, "names", None)
    }
    return arrays, named
