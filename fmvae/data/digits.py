"""The handwritten digits that scikit-learn ships, as a TFDS builder."""

import numpy as np
import tensorflow_datasets as tfds

from fmvae.data.builders import Described
from fmvae.data.pixels import encode_png

_NUM_TRAIN = 1_500


class UciDigits(  # type: ignore[call-arg]
  Described, tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """1,797 real 8x8 handwritten digits, available without any download.

  They are the test part of the UCI "Optical Recognition of Handwritten
  Digits" set, as `sklearn.datasets.load_digits` returns it. The grey levels
  0..16 are scaled to 0..255 and rounded.

  `train` is the first 1,500 images and `test` the last 297, in scikit-learn's
  order. The set does not say who wrote a digit, so nothing here rests on
  writers being the same or different in the two parts.
  """

  VERSION = tfds.core.Version("1.0.0")
  MAY_BE_SHOWN = True  # CC BY 4.0

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description="1,797 handwritten digits of 8x8 pixels, from UCI.",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
          "label": tfds.features.ClassLabel(num_classes=10),
        }
      ),
      supervised_keys=("image", "label"),
      homepage="https://archive.ics.uci.edu/dataset/80",
    )

  def _split_generators(self, dl_manager):
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target
    return {
      "train": self._generate_examples(
        images[:_NUM_TRAIN], labels[:_NUM_TRAIN]
      ),
      "test": self._generate_examples(images[_NUM_TRAIN:], labels[_NUM_TRAIN:]),
    }

  def _generate_examples(self, images, labels):
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      yield index, {"image": encode_png(image), "label": int(label)}
