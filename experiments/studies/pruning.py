"""Does a large mixture lose its components by accident or for good reason?

Takes the encoder of a pre-trained run and goes on with the prior phase alone,
K = 512, at three step sizes. Writes a CSV with the test costs KL[z] + KL[r],
the global KL per training point and the components used. Where fewer components
come with lower costs, pruning is the optimum that variational Bayes looks for.
Two minutes on two cores, with a pre-trained run of a sweep:

  python -m experiments.studies.pruning \\
    --workdir=runs/figure3_mlp/pretrained/omniglot_seed0_HASH
"""

import csv
import itertools
import pathlib

import jax
import tqdm
from absl import app, flags

from experiments.studies import frozen
from fmvae import prior
from fmvae.evaluation.collapse import num_used
from fmvae.storage import replacing

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder of the pre-trained run.", required=True
)
_OUT = "experiments/results/pruning.csv"
_K = 512
_SHOWN = (0, 1000, 2000, 4000, 8000)
_STEP_SIZES = (0.01, 0.003, 0.001)


def main(argv: list[str]) -> None:
  exp, train, test = frozen.encodings(argv, pathlib.Path(_WORKDIR.value))
  with replacing(pathlib.Path(_OUT)) as path, path.open("w") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(
      ["dataset", "step_size", "updates", "cost", "global_kl", "used"]
    )
    for initial in tqdm.tqdm(_STEP_SIZES, unit="step size"):
      svi = exp.config.svi.to_dict() | {"initial": initial}
      state = frozen.init(
        "k-means", jax.random.key(0), _K, *train, num_data=len(exp.train)
      )
      later = frozen.updates(
        state,
        *train,
        schedule=prior.robbins_monro(**svi),
        num=max(_SHOWN),
        seed=0,
      )
      for step, now in enumerate(itertools.chain([state], later)):
        if step in _SHOWN:
          kl_z, kl_r, _ = frozen.costs(now, *test)
          shared = prior.kl_global(now).sum() / len(exp.train)
          used = num_used(prior.usage(now))
          numbers = (f"{kl_z + kl_r:.2f}", f"{shared:.2f}", *used)
          rows.writerow([exp.config.dataset.name, initial, step, *numbers])


if __name__ == "__main__":
  app.run(main)
