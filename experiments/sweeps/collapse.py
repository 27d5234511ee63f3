"""When does a mixture collapse, the paper's or one that gradients train?

The MLP pair on MNIST, 22,000 steps with and without a pre-training; both
mixtures begin at the k-means centres of encodings.
  python -m launch.sweep --config=experiments/sweeps/collapse.py --processes=2
"""

from ml_collections import ConfigDict

from experiments import mnist_mlp
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for name, prior, steps in (
    ("mixture", "factorial_mixture", (15_000, 2_000, 5_000)),
    ("mixture_at_once", "factorial_mixture", (0, 0, 22_000)),
    ("points", "gaussian_mixture", (15_000, 0, 7_000)),
    ("points_at_once", "gaussian_mixture", (0, 0, 22_000)),
  ):
    run = mnist_mlp.get_config("k=512")
    run.prior = prior
    run.steps = dict(zip(("pretrain", "prior", "joint"), steps, strict=True))
    runs[name] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=(10, 128, 512),
    seeds=(0,),
  )
