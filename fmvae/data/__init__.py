"""Data sets, binarisation, batches and labels.

Importing this loads neither TensorFlow Datasets nor the libraries that read
images; `load` does, when it needs them. TensorFlow is never used.
"""

from fmvae.data import binarisation
from fmvae.data.batches import batch_indices, keep_labels
from fmvae.data.feeds import Feed, feed
from fmvae.data.files import DataError
from fmvae.data.images import resize_area
from fmvae.data.imagesets import Images, ImageSet, Records, resplit
from fmvae.data.sources import DATASETS, load

__all__ = [
  "DATASETS",
  "DataError",
  "Feed",
  "ImageSet",
  "Images",
  "Records",
  "batch_indices",
  "binarisation",
  "feed",
  "keep_labels",
  "load",
  "resize_area",
  "resplit",
]
