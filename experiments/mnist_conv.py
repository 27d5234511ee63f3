"""Binarised MNIST with the paper's networks and settings (Figure 3, E.1-E.3).

One point of the curve; the paper's best is a test bound of -85.77 nats at
K = 512, after about 4 hours on a P100. Command, for that K:
  python -m launch.train --config=experiments/mnist_conv.py:512
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  config = config_lib.default()
  config.network = {"name": "conv28"}
  config_lib.apply_argument(config, arg)
  return config
