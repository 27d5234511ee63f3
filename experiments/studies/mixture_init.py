"""Which start of the mixture uses its components, on frozen encodings?

Takes the encoder of a pre-trained run and runs the prior phase alone (2,000
updates, batch 64, the config's step size) from four starts. Writes a CSV with
the test costs KL[z] + KL[r], the components used and the perplexity. About two
minutes on two cores, after the pre-training (four):

  python -m launch.train --config=experiments/mnist_mlp.py \\
    --workdir=runs/pretrained --config.steps.prior=0 --config.steps.joint=0
  python -m experiments.studies.mixture_init --workdir=runs/pretrained
"""

import collections
import csv
import pathlib

import jax
import tqdm
from absl import app, flags

from experiments.studies import frozen
from fmvae import prior
from fmvae.evaluation.collapse import num_used, perplexity
from fmvae.storage import replacing

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder of the pre-trained run.", required=True
)
_OUT = "experiments/results/mixture_init.csv"
_NUM_COMPONENTS = (16, 128, 512)
_SEEDS = (0, 1)
_STEPS = 2000


def main(argv: list[str]) -> None:
  workdir = pathlib.Path(_WORKDIR.value)
  exp, train, test = frozen.encodings(argv, workdir)
  schedule = prior.robbins_monro(**exp.config.svi)
  settings = [
    (name, k, seed)
    for name in frozen.INITS
    for k in _NUM_COMPONENTS
    for seed in _SEEDS
  ]
  with replacing(pathlib.Path(_OUT)) as path, path.open("w") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(
      ["start", "K", "seed", "kl_z", "kl_r", "cost", "used", "perplexity"]
    )
    for name, k, seed in tqdm.tqdm(settings, unit="start"):
      state = frozen.init(
        name, jax.random.key(seed), k, *train, num_data=len(exp.train)
      )
      updated = frozen.updates(
        state, *train, schedule=schedule, num=_STEPS, seed=seed
      )
      (state,) = collections.deque(updated, maxlen=1)
      kl_z, kl_r, share = jax.device_get(frozen.costs(state, *test))
      scores = (kl_z, kl_r, kl_z + kl_r, perplexity(share))
      *numbers, effective = (f"{score:.2f}" for score in scores)
      (used,) = num_used(prior.usage(state))
      rows.writerow([name, k, seed, *numbers, used, effective])


if __name__ == "__main__":
  app.run(main)
