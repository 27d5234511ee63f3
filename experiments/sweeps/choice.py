"""How many factors and components, without labels: by the validation bound.

The MLP pair on MNIST, 10,000 of whose training images are held out; one or two
factors of 10, 25 and 100 components, ten seeds.
  python -m launch.sweep --config=experiments/sweeps/choice.py --processes=2
"""

from ml_collections import ConfigDict

from experiments import mnist_mlp
from fmvae import sweep

_K = (10, 25, 100)


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for num in (1, 2):
    run = mnist_mlp.get_config()
    run.dataset.validation = 10_000
    run.factors = ((run.latent_dim // num, max(_K)),) * num
    runs[f"factors{num}"] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=_K,
    seeds=tuple(range(10)),
  )
