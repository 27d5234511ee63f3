"""Figure 3 in miniature: the bound against log2 K on 1,797 images of digits.

K = 1, 2, 4, .. 64, three seeds, the settings of experiments/digits.py. Minutes
on two cores, without a download:
  python -m launch.sweep --processes=2
"""

from ml_collections import ConfigDict

from experiments import digits
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  return sweep.plan.make_config(
    arg,
    runs={"digits": digits.get_config()},
    num_components=tuple(2**i for i in range(7)),
    seeds=(0, 1, 2),
  )
