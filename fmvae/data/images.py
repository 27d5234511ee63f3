"""Images: the crops and sizes that the experiments use, and PNG."""

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


def omniglot_28(image: np.ndarray) -> np.ndarray:
  """Makes an Omniglot drawing look like an MNIST digit.

  Args:
    image: uint8 [105, 105] or [105, 105, C], black ink (0) on white (255).

  Returns:
    uint8 [28, 28, 1], bright ink on black, grey where a pixel covers an edge.
  """
  grey = image if image.ndim == 2 else image[..., 0]
  return resize_area(255 - grey[..., None], 28)


def celeb_a_64(jpeg: bytes) -> np.ndarray:
  """Decodes an aligned CelebA picture, crops and shrinks it.

  Args:
    jpeg: an encoded picture of 178x218 pixels.

  Returns:
    uint8 [64, 64, 3], RGB: the centre square of 148 pixels, area-resized.

  Raises:
    ValueError: if the picture cannot be decoded or has another size.
  """
  import cv2

  bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
  if bgr is None:
    raise ValueError("expected a JPEG picture, received other bytes")
  if bgr.shape != (218, 178, 3):
    raise ValueError(f"expected shape (218, 178, 3), received {bgr.shape}")
  return resize_area(bgr[35:183, 15:163, ::-1], 64)


def encode_png(image: np.ndarray) -> io.BytesIO:
  """Encodes uint8 [H, W] or RGB [H, W, 3] as PNG, faster than TFDS would."""
  import cv2

  _, png = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])
  return io.BytesIO(png.tobytes())
