"""When does a mixture collapse, the paper's or one that gradients train?

The MLP pair on MNIST, 22,000 steps with and without a pre-training; both
mixtures begin at the k-means centres of encodings.
  python -m launch.sweep --config=experiments/sweeps/collapse.py --processes=2
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments import mnist_mlp
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  return sweep.plan.make_config(
    arg,
    runs=cases(lambda: mnist_mlp.get_config("k=512")),
    num_components=(10, 128, 512),
    seeds=(0,),
  )


def cases(make: Callable[[], ConfigDict]) -> dict[str, ConfigDict]:
  """Four runs of as many steps: each mixture, after a pre-training, at once."""
  runs: dict[str, ConfigDict] = {}
  for name, prior in (
    ("mixture", "factorial_mixture"),
    ("points", "gaussian_mixture"),
  ):
    run, at_once = make(), make()
    run.prior = at_once.prior = prior
    if name == "points":  # no phase of its own
      run.steps.joint += run.steps.prior
      run.steps.prior = 0
    total = sum(run.steps.values())
    at_once.steps = {"pretrain": 0, "prior": 0, "joint": total}
    runs |= {name: run, f"{name}_at_once": at_once}
  return runs
