"""The first run: 1,797 real 8x8 digits that scikit-learn ships, on any CPU.

Command: python -m launch.train
Reproduces no figure of the paper; it shows every phase and part at work. On two
CPU cores it takes less than a minute and ends near -18.3 nats with 15 of the 20
components in use.
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.name = "uci_digits"
  config.dataset.binarisation = "threshold"
  config.network = {"name": "mlp", "hidden": (128, 128)}
  config.latent_dim = 16
  config.factors = ((16, 20),)
  config.learning_rate = 5e-4
  config.steps = {"pretrain": 2000, "prior": 1000, "joint": 3000}
  config.init_encodings = 1500
  config_lib.adapt(config, **arguments)
  return config
