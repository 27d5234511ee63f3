"""Figure 3 on a CPU: the bound against log2 K, MNIST and Omniglot, MLP pair.

K = 1, 2, 4, .. 512, three seeds, 25,000 steps a point of which 15,000 are
shared by the K of a data set and seed. About an hour and a half on two cores:
  python -m launch.sweep --config=experiments/sweeps/figure3_mlp.py \\
    --processes=2
To expect: experiments/results/figure3_mlp/.
"""

from ml_collections import ConfigDict

from experiments import mnist_mlp, omniglot_mlp
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  mnist = mnist_mlp.get_config()
  mnist.learning_rate = 3e-4  # as on Omniglot
  return sweep.plan.make_config(
    arg,
    runs={"mnist": mnist, "omniglot": omniglot_mlp.get_config()},
    num_components=tuple(2**i for i in range(10)),
    seeds=(0, 1, 2),
  )
