"""Rendered shapes: three properties named, on a tenth of the images (Sec. 2.5).

The paper's CelebA experiment in miniature, on pictures whose properties are
known: shape, colour and size name a factor each, frame and background are
left to two unsupervised ones. About 7 minutes of one CPU core; q(r|x) is then
right on every test image, and a classifier sees what was asked for in 99, 100
and 98 % of the generated pictures. Commands:
  python -m launch.train --config=experiments/shapes.py
  python -m launch.judge --workdir=runs/shapes

`experiments/shapes.py:hard` leaves the position unnamed as well, one of four:
what is seen of the shape then depends on it, and pictures obey only if they are
trained to (`fmvae.model.control`); see experiments.studies.composition.
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int, hard=bool)
  config = config_lib.default()
  config.dataset.name = "shapes"
  config.dataset.binarisation = "none"
  config.dataset.labels = ((0, "shape"), (1, "colour"), (2, "size"))
  config.dataset.labelled_fraction = 0.1
  config.network = {"name": "conv64", "width": 16}
  config.likelihood = "gaussian"
  # Few dimensions for the named factors, so that they hold little but their
  # property; at least K - 1, so that no component lies between the others.
  config.latent_dim = 36
  config.factors = ((4, 3), (4, 4), (4, 2), (12, 16), (12, 16))
  config.learning_rate = 1e-3
  config.steps = {"pretrain": 0, "prior": 1000, "joint": 7000}
  config.delta = ((0.0, 3000.0),)
  config.kl_z_weight = ((0.0, 20.0), (0.6, 20.0), (0.8, 5.0))
  if arguments.pop("hard", False):
    config.dataset.name = "shapes/shape-colour-size-frame-background-position"
    config.latent_dim = 48
    # K_i below that of two properties together: no factor takes two as a whole.
    config.factors = ((4, 3), (4, 4), (4, 2), (12, 4), (12, 4), (12, 4))
    config.network.modulated = True
    config.draw_named = 0.5
    config.independence = 100.0
    config.obedience = 300.0
    config.kl_z_weight = ((0.0, 20.0), (0.2, 20.0), (0.8, 5.0))
  config_lib.adapt(config, **arguments)
  return config
