"""Every prior in the literature's setting, experiments/density.py, three seeds.

N(0, I), mixtures of 500 components with point estimates, and the factorial
mixture of 1, 2 and 4 factors with as many in all: 100 epochs each, and the
importance-sampled NLL of every run on 1,000 test images, told for all.
  python -m launch.sweep --config=experiments/sweeps/density.py
  python -m launch.sweep --config=experiments/sweeps/density.py:run=vamp
The literature trains to the end: N(0, I) 84.45, VampPrior 82.43.
"""

from ml_collections import ConfigDict

from experiments import density
from fmvae import sweep

_RUNS = {
  "standard_normal": "prior=standard_normal,k=1",
  "gaussian_mixture": "prior=gaussian_mixture",
  "vamp": "prior=vamp",
  "factors1": "factors=1",
  "factors2": "factors=2",
  "factors4": "factors=4",
}


def get_config(arg: str | None = None) -> ConfigDict:
  return sweep.plan.make_config(
    arg,
    runs={
      name: density.get_config(f"{run},epochs=100,warmup=10")
      for name, run in _RUNS.items()
    },
    num_components=(0,),  # those of each run
    seeds=(0, 1, 2),
    importance_samples=5_000,
    importance_images=1_000,
  )
