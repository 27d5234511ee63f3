"""Rendered pictures with known, independent properties, as a TFDS builder."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from scipy.special import ndtri

from fmvae.data.archives import DataError
from fmvae.data.builders import Described
from fmvae.data.pixels import encode_png, resize_area
from fmvae.data.random import uniform_bits

_SIZES = {"train": 20_000, "test": 2_000}
_SEEDS = {"train": 0, "test": 1}
_PIXELS = 32
_FINE = 8  # sub-pixels to a side, which give soft edges


def _polygon(corners: int) -> np.ndarray:
  """Corners of a regular polygon, a tip upwards, `[corners, 2]`."""
  angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
  return np.stack([np.cos(angles), np.sin(angles)], -1)


_OUTLINES = {
  "disc": _polygon(48),
  "bar": np.array([[-3, -1], [3, -1], [3, 1], [-3, 1]]),
  "triangle": _polygon(3),
}
_COLOURS = {
  "red": (220, 60, 50),
  "green": (70, 180, 80),
  "blue": (60, 100, 220),
  "yellow": (225, 200, 60),
}
_RADII = {"small": 5.2, "large": 8.0}  # of the disc with the shape's area
_FRAMES = {"no frame": None, "black frame": 15, "white frame": 240}
_NOISE = 6.0  # grey levels
_GREYS = {"dark": 30, "grey": 110, "light": 190}
_CENTRES = {
  "top left": (11.5, 11.5),
  "top right": (20.5, 11.5),
  "bottom left": (11.5, 20.5),
  "bottom right": (20.5, 20.5),
}
_PROPERTIES = {
  "shape": tuple(_OUTLINES),
  "colour": tuple(_COLOURS),
  "size": tuple(_RADII),
  "frame": tuple(_FRAMES),
  "background": tuple(_GREYS),
}
_ALL = _PROPERTIES | {"position": tuple(_CENTRES)}
# What stands where a property is absent.
_ABSENT = {
  "shape": "disc",
  "colour": "red",
  "size": "large",
  "frame": "no frame",
  "background": "grey",
  "position": None,
}
_JITTERS = 8  # uniform numbers of a picture beside those of its properties


class Shapes(  # type: ignore[call-arg]
  Described, tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """22,000 pictures of 32x32 pixels, each of one shape on a grey background.

  Five properties are drawn uniformly and independently of each other: `shape`
  (3), `colour` (4), `size` (2), `frame` (3) and `background` (3). Within a
  value the picture still varies: the shape is turned by up to 20 degrees,
  moved by up to 1.5 pixels, up to 8 % larger or smaller, its colour and the
  background off by up to 15 levels. The three shapes have the same area.
  Every pixel has Gaussian noise of 6 grey levels, as a camera's would: without
  it a Gaussian p(x|z) spends all its precision on the flat background.

  Pictures are a function of the split alone and the same on every machine.

  `shapes/PROPERTIES`, such as `shapes/shape-colour-size-position-background`,
  has those properties in place of the five, in that order. The sixth,
  `position` (4), puts the shape's centre into a quarter of the picture: what is
  seen of the others then depends on it, and the set is a hard one.
  """

  VERSION = tfds.core.Version("1.0.0")
  MAY_BE_SHOWN = True  # drawn by this project

  @classmethod
  def check_variant(cls, name: str) -> None:
    """Checks that they are properties, joined by '-'.

    Raises:
      DataError: one that there is none of, or one twice.
    """
    properties = name.split("-")
    once = len(set(properties)) == len(properties)
    if not (once and set(properties) <= set(_ALL)):
      raise DataError(
        f"The properties of data set 'shapes/{name}' must be some of"
        f" {'-'.join(_ALL)}, each once, joined by '-'."
      )

  @classmethod
  def get_builder_config(cls, name, version=None):
    """As TFDS asks for it: every variant is one of its own."""
    return tfds.core.BuilderConfig(
      name=name, version=version, description="Chosen properties."
    )

  @property
  def properties(self) -> dict[str, tuple[str, ...]]:
    """The values of each property that is drawn."""
    if self.builder_config is None:
      return _PROPERTIES
    return {name: _ALL[name] for name in self.builder_config.name.split("-")}

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description="Rendered shapes with independent properties.",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(
            shape=(_PIXELS, _PIXELS, 3), encoding_format="png"
          )
        }
        | {
          name: tfds.features.ClassLabel(names=list(values))
          for name, values in self.properties.items()
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in _SIZES}

  def _generate_examples(self, split):
    properties, seed = self.properties, _SEEDS[split]
    num, columns = _SIZES[split], len(properties) + _JITTERS
    rows = _uniform(seed, "shapes", 0, (num, columns))
    for index, row in enumerate(rows):
      drawn: dict[str, Any] = {
        name: values[int(u * len(values))]
        for (name, values), u in zip(properties.items(), row, strict=False)
      }
      jitter = 2 * row[len(properties) :] - 1
      picture = render(jitter=jitter, **_ABSENT | drawn)
      noise = ndtri(_uniform(seed, "noise of shapes", index, picture.shape))
      noisy = np.rint(np.clip(picture + _NOISE * noise, 0, 255))
      yield index, {"image": encode_png(noisy.astype(np.uint8)), **drawn}


def _uniform(
  seed: int, purpose: str, index: int, shape: tuple[int, ...]
) -> np.ndarray:
  """Uniform numbers in (0, 1), float64."""
  raw = uniform_bits(seed, purpose, index).random_raw(int(np.prod(shape)))
  return ((raw >> np.uint64(11)).reshape(shape) + 0.5) * 2.0**-53


def render(
  shape: str,
  colour: str,
  size: str,
  frame: str,
  background: str,
  jitter: np.ndarray,
  position: str | None = None,
) -> np.ndarray:
  """Draws one picture without noise, float `[32, 32, 3]` of grey levels.

  Args:
    shape: as in `Shapes`; so are the others.
    colour: of the shape.
    size: of the shape.
    frame: around the picture.
    background: grey level.
    jitter: `[8]` from -1 to 1: angle, x, y, size, red, green, blue, background.
    position: of the shape's centre; in the middle if None.
  """
  import cv2

  outline = _OUTLINES[shape]
  x, y = outline.T
  area = 0.5 * np.abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
  angle = np.deg2rad(20 * jitter[0])
  turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
  radius = _RADII[size] * (1 + 0.08 * jitter[3])
  middle = (_PIXELS / 2, _PIXELS / 2)
  centre = np.asarray(_CENTRES.get(position or "", middle)) + 1.5 * jitter[1:3]
  outline = centre + radius * np.sqrt(np.pi / area) * (outline @ turn)
  mask = np.zeros((_FINE * _PIXELS, _FINE * _PIXELS, 1), np.uint8)
  cv2.fillPoly(mask, [np.rint(_FINE * outline).astype(np.int32)], 255)
  cover = resize_area(mask, _PIXELS) / 255
  paint = np.asarray(_COLOURS[colour]) + 15 * jitter[4:7]
  grey = _GREYS[background] + 15 * jitter[7]
  picture = grey * (1 - cover) + paint * cover
  level = _FRAMES[frame]
  if level is not None:
    for edge in (slice(0, 2), slice(-2, None)):
      picture[edge] = level
      picture[:, edge] = level
  return picture
