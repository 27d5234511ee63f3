"""Figure 3 as in the paper: its networks and settings, K = 1, 2, 4, .. 1,024.

320,000 steps a point, of which 100,000 are shared by the K of a data set and
seed; the paper took about 4 hours of a P100 for each. For a GPU or a cluster:
  python -m launch.sweep --config=experiments/sweeps/figure3_conv.py \\
    --engine=slurm --slurm=partition=gpu,gpus_per_node=1 --processes=20
To expect: -85.77 nats at K = 512 on MNIST, -90.89 at K = 256 on Omniglot (the
paper; it names neither Omniglot's split nor its binarisation). Not run yet.
"""

from ml_collections import ConfigDict

from experiments import mnist_conv, omniglot_conv
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  return sweep.plan.make_config(
    arg,
    runs={
      "mnist": mnist_conv.get_config(),
      "omniglot": omniglot_conv.get_config(),
    },
    num_components=tuple(2**i for i in range(11)),
    seeds=(0, 1, 2),
  )
