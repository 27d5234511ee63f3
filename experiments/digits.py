"""The first run: 1,797 real 8x8 digits that scikit-learn ships, on any CPU.

Command: python -m launch.train
Reproduces no figure of the paper; it shows every phase and part at work.
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  config = config_lib.default()
  config.dataset.name = "uci_digits"
  config.dataset.binarisation = "dynamic"
  config.network = {"name": "mlp", "hidden": (256, 256)}
  config.latent_dim = 16
  config.factors = ((16, 20),)
  config.learning_rate = 1e-3
  config.steps = {"pretrain": 4000, "prior": 1000, "joint": 5000}
  config.start_encodings = 1500
  config_lib.apply_argument(config, arg)
  return config
