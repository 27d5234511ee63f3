"""Figure 3's best points on a CPU: the paper's 28x28 pair, fewer steps.

K = 1, 64 and 512 on MNIST and Omniglot, 68,000 steps a point, of which 20,000
are shared by the K of a data set: a fifth of the paper's steps at ten times its
learning rate, which falls to 0, an SVI step size that starts to fall earlier,
and one encoding of a batch for both updates. An hour and forty minutes a point
on two cores that do nothing else, and forty minutes for what they share:
  python -m launch.sweep --config=experiments/sweeps/figure3_conv_cpu.py
"""

from ml_collections import ConfigDict

from experiments import mnist_conv, omniglot_conv
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  mnist, omniglot = mnist_conv.get_config(), omniglot_conv.get_config()
  for run in mnist, omniglot:
    run.learning_rate = 1e-3
    run.svi.tau0 = 300.0
    run.encode_again = False
    run.steps = {"pretrain": 20_000, "prior": 3_000, "joint": 45_000}
    run.evaluate_every = 10_000
  return sweep.plan.make_config(
    arg,
    runs={"mnist": mnist, "omniglot": omniglot},
    num_components=(1, 64, 512),
    seeds=(0,),
  )
