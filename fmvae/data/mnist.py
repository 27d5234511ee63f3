"""The catalogue's `mnist`, prepared with the standard library alone."""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from fmvae.data.archives import DataError, read_gzip
from fmvae.data.builders import Described
from fmvae.data.pixels import encode_png

_MAGIC = {3: 2051, 1: 2049}  # of an IDX file of bytes, by its dimensions


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
  MAY_BE_SHOWN = True  # CC BY-SA 3.0, as Fashion-MNIST (MIT) and KMNIST may
  url_infos = tfds.image_classification.MNIST.url_infos

  def _split_generators(self, dl_manager):
    paths = dl_manager.download([self.URL + f for f in self.SOURCE_FILES])
    return {
      "train": self._generate_examples(paths[0], paths[1]),
      "test": self._generate_examples(paths[2], paths[3]),
    }

  def _generate_examples(self, image_path, label_path):
    labels = _read_idx(label_path, (-1,))
    images = _read_idx(image_path, (len(labels), 28, 28))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      yield index, {"image": encode_png(image), "label": int(label)}


class FashionMNIST(  # type: ignore[call-arg]
  MNIST, tfds.image_classification.FashionMNIST, skip_registration=True
):
  """The catalogue's `fashion_mnist`, in the same files."""

  URL = tfds.image_classification.FashionMNIST.URL
  VERSION = tfds.image_classification.FashionMNIST.VERSION
  url_infos = tfds.image_classification.FashionMNIST.url_infos
  _info = tfds.image_classification.FashionMNIST._info


class KMNIST(  # type: ignore[call-arg]
  MNIST, tfds.image_classification.KMNIST, skip_registration=True
):
  """The catalogue's `kmnist`, in the same files."""

  URL = tfds.image_classification.KMNIST.URL
  VERSION = tfds.image_classification.KMNIST.VERSION
  url_infos = tfds.image_classification.KMNIST.url_infos
  _info = tfds.image_classification.KMNIST._info


def _read_idx(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
  """Reads a gzipped IDX file of bytes, uint8 of `shape`; -1 is any length."""
  content = read_gzip(path)
  size = 4 * (1 + len(shape))
  wanted = [n if n >= 0 else len(content) - size for n in shape]
  header = np.array([_MAGIC[len(shape)], *wanted], ">i4").tobytes()
  if content[:size] != header or len(content) != size + np.prod(wanted):
    raise DataError(
      f"{path} must be an IDX file of {wanted} bytes and is not; delete it, or"
      " replace it by the original file."
    )
  return np.frombuffer(content, np.uint8, offset=size).reshape(wanted)
