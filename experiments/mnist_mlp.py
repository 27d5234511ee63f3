"""Binarised MNIST with an MLP pair, for a CPU: the bound at one K (Sec. 4.1).

Command, for K = 128 (the argument), and what to expect: experiments/results
  python -m launch.train --config=experiments/mnist_mlp.py:k=128
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.binarisation = "dynamic"
  config.network = {"name": "mlp", "hidden": (512, 512)}
  config.learning_rate = (
    1e-3  # falling to 0 it beats 3e-4, see experiments/results
  )
  config.steps = {"pretrain": 15_000, "prior": 2_000, "joint": 5_000}
  config_lib.adapt(config, **arguments)
  return config
