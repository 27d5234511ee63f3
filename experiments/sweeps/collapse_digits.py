"""When do two factors collapse? As collapse.py, on the embedded digits.

One and two factors of 20 components, 6,000 steps with and without a
pre-training, three seeds; the paper's mixture and one that gradients train.
  python -m launch.sweep --config=experiments/sweeps/collapse_digits.py
"""

from ml_collections import ConfigDict

from experiments import digits
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for num in (1, 2):
    for name, prior, steps in (
      ("mixture", "factorial_mixture", (2_000, 1_000, 3_000)),
      ("mixture_at_once", "factorial_mixture", (0, 0, 6_000)),
      ("points", "gaussian_mixture", (2_000, 0, 4_000)),
      ("points_at_once", "gaussian_mixture", (0, 0, 6_000)),
    ):
      run = digits.get_config()
      run.prior = prior
      run.factors = ((run.latent_dim // num, 20),) * num
      run.steps = dict(zip(("pretrain", "prior", "joint"), steps, strict=True))
      runs[f"{name}_{num}"] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=(20,),
    seeds=(0, 1, 2),
  )
