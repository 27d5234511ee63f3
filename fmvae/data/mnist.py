"""The catalogue's `mnist`, prepared with the standard library alone."""

import gzip

import numpy as np
import tensorflow_datasets as tfds

from fmvae.data.builders import Described
from fmvae.data.pixels import encode_png

_IMAGE_HEADER = 16  # bytes before the pixels of an IDX image file
_LABEL_HEADER = 8


class MNIST(  # type: ignore[call-arg]
  Described, tfds.image_classification.MNIST, skip_registration=True
):
  """MNIST with the name, version, features and checksums of TFDS.

  The catalogue's own builder needs TensorFlow to unpack the files and to
  encode the images. This one needs neither, and what it writes can be read by
  anything that reads the catalogue's data set in the array_record format.
  TFDS checks the SHA-256 of each source file, downloaded or put in place by
  hand.
  """

  SOURCE_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
  )
  DOWNLOADED = True
  url_infos = tfds.image_classification.MNIST.url_infos

  def _split_generators(self, dl_manager):
    paths = dl_manager.download([self.URL + f for f in self.SOURCE_FILES])
    return {
      "train": self._generate_examples(paths[0], paths[1]),
      "test": self._generate_examples(paths[2], paths[3]),
    }

  def _generate_examples(self, image_path, label_path):
    with gzip.open(image_path) as file:
      pixels = np.frombuffer(file.read(), np.uint8, offset=_IMAGE_HEADER)
    with gzip.open(label_path) as file:
      labels = np.frombuffer(file.read(), np.uint8, offset=_LABEL_HEADER)
    images = pixels.reshape(-1, 28, 28)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      yield index, {"image": encode_png(image), "label": int(label)}
