"""A small experiment with named factors on rendered shapes, for tests."""

import jax
import numpy as np
import pytest

from experiments import shapes as config_file
from fmvae import data, experiment
from fmvae.data import shapes

PROPERTIES = shapes._PROPERTIES


def few_shapes(name, split, **_):
  """A few hundred rendered pictures, without TFDS."""
  rng = np.random.default_rng(len(split))
  num = 600 if split == "train" else 60
  labels = {
    p: rng.integers(0, len(v), num).astype(np.int32)
    for p, v in PROPERTIES.items()
  }
  images = np.stack(
    [
      shapes.render(
        jitter=rng.uniform(-1, 1, 8),
        **{p: PROPERTIES[p][labels[p][n]] for p in PROPERTIES},
      )
      for n in range(num)
    ]
  )
  images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
  return data.ImageSet(images, labels, name, split, PROPERTIES)


def build(**changes):
  """The experiment of experiments/shapes.py with a tiny network."""
  config = config_file.get_config("smoke")
  config.network = {"name": "mlp", "hidden": (8,)}
  config.latent_dim = 10
  config.factors = ((2, 3), (2, 4), (2, 2), (2, 5), (2, 12))
  config.update(changes)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data, "load", few_shapes)
    return experiment.build(config)


def started(exp):
  """A state with a started mixture, as after the first phase."""
  state = exp.start_prior(exp.init())
  return state.replace(step=jax.numpy.ones((), "int32"))
