"""Data sets, preprocessing, batches and labels.

Importing this loads neither TensorFlow Datasets nor the libraries that read
images; `load` does, when it needs them. TensorFlow is never used.

To add a data set: a module with a TFDS builder that also is a
`builders.Described`, and its line in `catalogue._BUILDERS`.
"""

from fmvae.data import binarisation
from fmvae.data.archives import DataError
from fmvae.data.arrays import (
  fitted,
  from_arrays,
  hold_out,
  npz_arrays,
  to_images,
)
from fmvae.data.augmentation import augment, blur
from fmvae.data.batches import Batch, batch_indices, keep_labels
from fmvae.data.catalogue import ARRAYS, DATASETS, load, may_be_shown
from fmvae.data.feeds import Feed, feed
from fmvae.data.imagesets import (
  Images,
  ImageSet,
  Records,
  Split,
  resplit,
  set_aside,
)
from fmvae.data.pictures import read_pictures
from fmvae.data.pixels import Fit, resize_area
from fmvae.data.preprocessing import (
  Preprocessing,
  are_counts,
  is_nearly_binary,
  standardised,
)

__all__ = [
  "ARRAYS",
  "DATASETS",
  "Batch",
  "DataError",
  "Feed",
  "Fit",
  "ImageSet",
  "Images",
  "Preprocessing",
  "Records",
  "Split",
  "are_counts",
  "augment",
  "batch_indices",
  "binarisation",
  "blur",
  "feed",
  "fitted",
  "from_arrays",
  "hold_out",
  "is_nearly_binary",
  "keep_labels",
  "load",
  "may_be_shown",
  "npz_arrays",
  "read_pictures",
  "resize_area",
  "resplit",
  "set_aside",
  "standardised",
  "to_images",
]
