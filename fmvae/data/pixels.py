"""Resizing, and pictures as files."""

import io

import numpy as np


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
