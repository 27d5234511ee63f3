"""Binarised MNIST with the paper's networks and steps (Figure 3, E.1-E.3).

One point of the curve; the paper's best is a test bound of -85.77 nats at
K = 512, after about 4 hours on a P100. Command, for that K:
  python -m launch.train --config=experiments/mnist_conv.py:k=512
Ours where the paper differs or is silent, as both lift the bound of the MLP
pair (experiments/results): a new Bernoulli draw for each training step, the
test on one fixed draw; a learning rate that falls in the joint phase. The
paper's:
  --config.dataset.binarisation=static --config.learning_rate_decay=none
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.binarisation = "dynamic"
  config.network = {"name": "conv28"}
  config_lib.adapt(config, **arguments)
  return config
