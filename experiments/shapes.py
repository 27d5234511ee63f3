"""Rendered shapes: three properties named, on a tenth of the images (Sec. 2.5).

The paper's CelebA experiment in miniature, on pictures whose properties are
known: shape, colour and size name a factor each, position and background are
left to two unsupervised ones. Command:
  python -m launch.train --config=experiments/shapes.py
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  config = config_lib.default()
  config.dataset.name = "shapes"
  config.dataset.binarisation = "none"
  config.dataset.labels = ((0, "shape"), (1, "colour"), (2, "size"))
  config.dataset.labelled_fraction = 0.1
  config.network = {"name": "conv64", "width": 16}
  config.likelihood = "gaussian"
  config.latent_dim = 40
  config.factors = ((8, 3), (8, 4), (8, 2), (8, 16), (8, 16))
  config.learning_rate = 1e-3
  config.steps = {"pretrain": 0, "prior": 1000, "joint": 10_000}
  config.delta = ((0.0, 10_000.0),)
  config.kl_z_weight = ((0.0, 20.0), (0.3, 20.0), (0.5, 1.0))
  config_lib.apply_argument(config, arg)
  return config
