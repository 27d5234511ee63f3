"""Omniglot with the paper's networks and settings (Figure 3, E.1-E.3).

The official split (test alphabets never seen), area resize from 105 to 28
pixels, one static Bernoulli draw. The paper names none of the three; its best
test bound is -90.89 nats at K = 256. Command, for that K:
  python -m launch.train --config=experiments/omniglot_conv.py:256
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  config = config_lib.default()
  config.dataset.name = "omniglot"
  config.network = {"name": "conv28"}
  config_lib.apply_argument(config, arg)
  return config
