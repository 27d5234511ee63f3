"""Binarised Omniglot with an MLP pair, for a CPU: the bound at one K.

24,345 training and 8,070 test images drawn from all alphabets, as in most of
the literature; area resize from 105 to 28 pixels; a new Bernoulli draw for each
training step, one fixed draw for the test. Command, for K = 128:
  python -m launch.train --config=experiments/omniglot_mlp.py:k=128
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.name = "omniglot"
  config.dataset.resplit = (24_345, 8_070)
  config.dataset.binarisation = "dynamic"
  config.network = {"name": "mlp", "hidden": (512, 512)}
  config.learning_rate = 3e-4
  config.steps = {"pretrain": 15_000, "prior": 2_000, "joint": 5_000}
  config_lib.adapt(config, **arguments)
  return config
