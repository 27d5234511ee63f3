"""Resizing, and pictures as files."""

import dataclasses
import io

import numpy as np

CROPS = ("none", "centre")
COLOURS = ("keep", "grey", "colour")


@dataclasses.dataclass(frozen=True)
class Fit:
  """How pictures are cut, coloured and resized, in this order.

  Attributes:
    size: side of the resulting squares in pixels; None leaves the size.
    crop: 'centre', the largest square in the middle; or 'none'.
    colour: 'grey', one channel; 'colour', three; or 'keep'.
  """

  size: int | None = None
  crop: str = "none"
  colour: str = "keep"

  def __post_init__(self):
    integer = isinstance(self.size, int) and not isinstance(self.size, bool)
    if self.size is not None and not (integer and 1 <= self.size <= 1024):
      raise ValueError(
        f"size must be None or an integer from 1 to 1024, got {self.size!r}"
      )
    for name, known in (("crop", CROPS), ("colour", COLOURS)):
      if getattr(self, name) not in known:
        raise ValueError(
          f"{name} must be one of {known}, got {getattr(self, name)!r}"
        )

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, C]` -> `[H', W', C']`; ValueError: no grey or colours."""
    import cv2

    if self.crop == "centre":
      side = min(image.shape[:2])
      top, left = ((n - side) // 2 for n in image.shape[:2])
      image = image[top : top + side, left : left + side]
    channels = image.shape[2]
    if self.colour != "keep" and channels not in (1, 3):
      raise ValueError(
        f"config.dataset.colour must be 'keep' for pictures with {channels} "
        f"channels, got {self.colour!r}"
      )
    if self.colour == "grey" and channels == 3:
      image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
      image = image[..., None]
    elif self.colour == "colour" and channels == 1:
      image = np.repeat(image, 3, axis=2)
    if self.size is None or image.shape[:2] == (self.size, self.size):
      return image
    return resize_area(np.ascontiguousarray(image), self.size)

  def __str__(self) -> str:
    """For the name of a file."""
    if self == Fit():
      return ""
    return f"-{self.size or 'own'}-{self.crop}-{self.colour}"


def resize_area(image: np.ndarray, size: int) -> np.ndarray:
  """Resizes one image to a square by averaging areas.

  Args:
    image: uint8 [H, W, C].
    size: side of the result in pixels.

  Returns:
    uint8 [size, size, C]: each pixel the mean of the area that it covers,
    rounded.
  """
  import cv2

  resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
  return resized.reshape(size, size, image.shape[-1])


def decode(encoded: bytes) -> np.ndarray | None:
  """Decodes a picture to uint8 BGR [H, W, 3]; None if the bytes are none."""
  import cv2

  if not encoded:  # which OpenCV does not take
    return None
  return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)


def encode_png(image: np.ndarray) -> io.BytesIO:
  """Encodes uint8 [H, W] or RGB [H, W, 3] as PNG, faster than TFDS would."""
  import cv2

  _, png = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])
  return io.BytesIO(png.tobytes())
