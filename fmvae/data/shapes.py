"""Rendered pictures with known, independent properties, as a TFDS builder."""

import numpy as np
import tensorflow_datasets as tfds
from scipy.special import ndtri

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
_PROPERTIES = {
  "shape": tuple(_OUTLINES),
  "colour": tuple(_COLOURS),
  "size": tuple(_RADII),
  "frame": tuple(_FRAMES),
  "background": tuple(_GREYS),
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
  """

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description="Rendered shapes with five independent properties.",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(
            shape=(_PIXELS, _PIXELS, 3), encoding_format="png"
          )
        }
        | {
          name: tfds.features.ClassLabel(names=list(values))
          for name, values in _PROPERTIES.items()
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in _SIZES}

  def _generate_examples(self, split):
    num, columns = _SIZES[split], len(_PROPERTIES) + _JITTERS
    seed = _SEEDS[split]
    rows = _uniform(seed, "shapes", 0, (num, columns))
    for index, row in enumerate(rows):
      drawn = {
        name: values[int(u * len(values))]
        for (name, values), u in zip(_PROPERTIES.items(), row, strict=False)
      }
      jitter = 2 * row[len(_PROPERTIES) :] - 1
      picture = render(jitter=jitter, **drawn)
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
) -> np.ndarray:
  """Draws one picture without noise, float `[32, 32, 3]` of grey levels.

  Args:
    shape: as in `Shapes`; so are the others.
    colour: of the shape.
    size: of the shape.
    frame: around the picture.
    background: grey level.
    jitter: `[8]` from -1 to 1: angle, x, y, size, red, green, blue, background.
  """
  import cv2

  outline = _OUTLINES[shape]
  x, y = outline.T
  area = 0.5 * np.abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
  angle = np.deg2rad(20 * jitter[0])
  turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
  radius = _RADII[size] * (1 + 0.08 * jitter[3])
  centre = _PIXELS / 2 + 1.5 * jitter[1:3]
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
