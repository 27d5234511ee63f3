"""How far Omniglot's split and binarisation move the bound.

The paper names neither. A VAE with an N(0, I) prior, trained in eight ways:
tested on the official split (alphabets never seen) or on 8,070 images drawn
from all, binarised by one Bernoulli draw, by a new draw each step (tested on
one), or by a threshold; 5,000 steps. Ten minutes on two cores:
  python -m launch.sweep --config=experiments/sweeps/omniglot_choices.py \\
    --processes=2
To expect: experiments/results/omniglot_choices.csv.
"""

from ml_collections import ConfigDict

from experiments import omniglot_mlp
from fmvae import sweep


def get_config(arg: str | None = None) -> ConfigDict:
  runs = {}
  for split, sizes in (("official", ()), ("random", (24_345, 8_070))):
    for kind in ("static", "dynamic", "threshold_0.5", "threshold_0.25"):
      run = omniglot_mlp.get_config()
      run.dataset.resplit = sizes
      run.dataset.binarisation = kind.partition("_")[0]
      run.dataset.threshold = float(kind.partition("_")[2] or 0.5)
      run.steps = {"pretrain": 5_000, "prior": 0, "joint": 0}
      runs[f"{split}_{kind}".replace("0.", "0_")] = run
  return sweep.plan.make_config(
    arg,
    runs=runs,
    num_components=(),
    seeds=(0,),
  )
