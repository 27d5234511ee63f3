"""Omniglot with the paper's networks and steps (Figure 3, E.1-E.3).

24,345 training and 8,070 test images drawn from all alphabets, area resize from
105 to 28 pixels, a new Bernoulli draw for each training step and one fixed draw
for the test. The paper names none of these; its best test bound is -90.89 nats
at K = 256. Command, for that K:
  python -m launch.train --config=experiments/omniglot_conv.py:k=256
Other choices, which move the bound by many nats (experiments/results):
  --config.dataset.resplit='()' --config.dataset.binarisation=static
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int)
  config = config_lib.default()
  config.dataset.name = "omniglot"
  config.dataset.resplit = (24_345, 8_070)
  config.dataset.binarisation = "dynamic"
  config.network = {"name": "conv28"}
  config_lib.adapt(config, **arguments)
  return config
