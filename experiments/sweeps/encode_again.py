"""Step 3 with and without a second encoding of the batch (Sec. 2.4.3).

The MLP pair on MNIST with K = 128, and the rendered shapes, three seeds each:
  python -m launch.sweep --config=experiments/sweeps/encode_again.py
"""

from ml_collections import ConfigDict

from experiments import mnist_mlp, shapes
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for name, config in (
    ("mnist", mnist_mlp.get_config("k=128")),
    ("shapes", shapes.get_config()),
  ):
    for encode_again in (True, False):
      run = config.copy_and_resolve_references()
      run.encode_again = encode_again
      runs[f"{name}_{'again' if encode_again else 'once'}"] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=(0,),  # those of each run
    seeds=(0, 1, 2),
  )
