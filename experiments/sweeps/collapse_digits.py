"""When do two factors collapse? As collapse.py, on the embedded digits.

One and two factors of 20 components, 6,000 steps with and without a
pre-training, three seeds; the paper's mixture and one that gradients train.
  python -m launch.sweep --config=experiments/sweeps/collapse_digits.py
"""

from ml_collections import ConfigDict

from experiments import digits
from experiments.sweeps import collapse
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for num in (1, 2):
    for name, run in collapse.cases(digits.get_config).items():
      run.factors = ((run.latent_dim // num, 20),) * num
      runs[f"{name}_{num}"] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=(20,),
    seeds=(0, 1, 2),
  )
