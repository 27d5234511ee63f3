"""Which start of the mixture uses its components, on frozen encodings?

Takes the encoder of a pre-trained run and runs the prior phase alone (2,000
updates, batch 64, the config's step size) from four starts. Writes a CSV with
the test costs KL[z] + KL[r], the components used and the perplexity. About two
minutes on two cores, after the pre-training (four):

  python -m launch.train --config=experiments/mnist_mlp.py \\
    --workdir=runs/pretrained --config.steps.prior=0 --config.steps.joint=0
  python -m experiments.studies.mixture_start --workdir=runs/pretrained
"""

import csv
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from absl import app, flags

from experiments.studies.starts import start
from fmvae import prior
from fmvae.evaluation.bound import num_used, perplexity
from fmvae.files import replacing
from fmvae.training import checkpoints, records
from launch import common

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
_OUT = "experiments/results/mixture_start.csv"
_COMPONENTS = (16, 128, 512)
_SEEDS = (0, 1)
_STEPS, _BATCH_SIZE = 2000, 64


@jax.jit
def update(state, loc, log_var, num_data, rho):
  return prior.svi_update(state, loc, log_var, num_data=num_data, step_size=rho)


@jax.jit
def costs(state, loc, log_var):
  resp = prior.responsibilities(state, loc, log_var)
  kl_z = prior.kl_z(state, loc, log_var, resp)
  return kl_z.mean(), prior.kl_r(state, resp).mean(), resp[0].mean(0)


def main(argv: list[str]) -> None:
  workdir = pathlib.Path(_WORKDIR.value)
  exp = common.build(argv, records.read_config(workdir))
  with checkpoints.Checkpoints(workdir) as saved:
    trained = saved.restore(exp.init())
  key = jax.random.key(0)
  loc, log_var = exp.encode(trained, exp.train.images, exp.train_input, key)
  test = exp.encode(trained, exp.test.images, exp.test_input, key)
  schedule = prior.robbins_monro(**exp.config.svi)
  rhos = np.asarray(schedule(jnp.arange(_STEPS)))
  names = ("N(0, 1)", "0.1 N(0, 1)", "random points", "k-means")
  settings = [(n, k, s) for n in names for k in _COMPONENTS for s in _SEEDS]
  with replacing(pathlib.Path(_OUT)) as path, path.open("w") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(
      ["start", "K", "seed", "kl_z", "kl_r", "cost", "used", "perplexity"]
    )
    for name, k, seed in tqdm.tqdm(settings, unit="start"):
      state = start(name, jax.random.key(seed), k, loc, log_var)
      batches = np.random.default_rng(seed).integers(
        len(loc), size=(_STEPS, _BATCH_SIZE)
      )
      for batch, rho in zip(batches, rhos, strict=True):
        state = update(state, loc[batch], log_var[batch], len(loc), rho)
      kl_z, kl_r, share = jax.device_get(costs(state, *test))
      scores = (kl_z, kl_r, kl_z + kl_r, perplexity(share))
      *numbers, effective = (f"{score:.2f}" for score in scores)
      (used,) = num_used(state)
      rows.writerow([name, k, seed, *numbers, used, effective])


if __name__ == "__main__":
  app.run(main)
