"""CelebA without labels, two factors of 64 components (Figure 8, E.2, E.3).

The paper's networks and settings: no pre-training, 2e4 steps for the prior,
3e5 joint ones, about 14 hours on a P100. Command:
  python -m launch.train --config=experiments/celeb_a_conv.py \\
    --manual_dir=FOLDER
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.name = "celeb_a"
  config.dataset.binarisation = "none"
  config.network = {"name": "conv64", "width": 128}
  config.likelihood = "gaussian"
  config.latent_dim = 256
  config.factors = ((128, 64), (128, 64))
  config.steps = {"pretrain": 0, "prior": 20_000, "joint": 300_000}
  config.svi.kappa = 0.52
  config_lib.adapt(config, **arguments)
  return config
