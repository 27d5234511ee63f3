"""A small experiment with named factors on rendered shapes, for tests."""

import dataclasses

import jax
import numpy as np

from experiments import shapes as config_file
from fmvae import data, experiment
from fmvae.data import shapes
from fmvae.model import init_prior

PROPERTIES = shapes._PROPERTIES


def few_shapes(name, split, **_):
  """A few hundred rendered pictures, without TFDS."""
  rng = np.random.default_rng(len(split))
  num = 600 if split == "train" else 60
  features = {
    p: rng.integers(0, len(v), num).astype(np.int32)
    for p, v in PROPERTIES.items()
  }
  images = np.stack(
    [
      shapes.render(
        jitter=rng.uniform(-1, 1, 8),
        **{p: PROPERTIES[p][features[p][n]] for p in PROPERTIES},
      )
      for n in range(num)
    ]
  )
  images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
  return data.ImageSet(images, features, name, split, PROPERTIES)


def build(**changes):
  """The experiment of experiments/shapes.py with a tiny network."""
  config = config_file.get_config("smoke")
  config.network = {"name": "mlp", "hidden": (8,)}
  config.latent_dim = 10
  config.factors = ((2, 3), (2, 4), (2, 2), (2, 5), (2, 12))
  config.update(changes)
  return experiment.build(config, load=few_shapes)


def with_prior(exp, state=None):
  """A state whose prior has seen encodings, as at the start of its phase."""
  (phase,) = (p for p in exp.phases if p.init_encodings)
  state = experiment.init(exp) if state is None else state
  return init_prior(exp.model, phase, state, exp.train.images)


def started(exp):
  """A state with a started mixture, as after the first phase."""
  return with_prior(exp).replace(step=jax.numpy.ones((), "int32"))


def recast(model, kind):
  """A model as a subclass, which takes over what a test looks at."""
  fields = dataclasses.fields(model)
  return kind(**{f.name: getattr(model, f.name) for f in fields})
