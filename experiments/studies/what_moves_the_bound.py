"""What moves the bound at K = 128: start, annealing, step size, learning rate.

Changes one thing at a time in experiments/mnist_mlp.py:k=128, here with a
constant learning rate of 3e-4 and 8,000 joint steps, and trains to the end;
rows that leave pre-training as it is share one. Writes a CSV with a row for
each change. Stopped, it continues. About 25 minutes on two cores:

  python -m experiments.studies.what_moves_the_bound --workdir=runs/moves
"""

import csv
import dataclasses
import hashlib
import pathlib

from absl import app, flags
from jax import Array

from experiments import mnist_mlp
from experiments.studies import frozen
from fmvae import config as config_lib
from fmvae import evaluation, prior
from fmvae.experiment import Experiment
from fmvae.model import TrainState
from fmvae.model.priors import FactorialMixture, Variables
from fmvae.storage import replacing
from fmvae.training import checkpoints, loop
from launch import common

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "The folder that all runs go to.", required=True
)
_ONLY = flags.DEFINE_list(
  "only", None, "The names of the changes to make. By default all are made."
)
_OUT = "experiments/results/what_moves_the_bound.csv"
_ARGUMENT = "k=128"
_COLUMNS = (
  *("change", "bound", "reconstruction", "kl_z", "kl_r"),
  *("used", "perplexity"),
)
# name -> fields of the config, and the start of the mixture
_CHANGES: dict[str, tuple[dict, str]] = {
  "none": ({}, "k-means"),
  "start at random points": ({}, "random points"),
  "start at 0.1 N(0, 1)": ({}, "0.1 N(0, 1)"),
  "start at N(0, 1)": ({}, "N(0, 1)"),
  "learning rate falls to 0": ({"learning_rate_decay": "cosine"}, "k-means"),
  "learning rate 1e-3, falls to 0": (
    {"learning_rate": 1e-3, "learning_rate_decay": "cosine"},
    "k-means",
  ),
  "step size (tau0 + tau)^-0.7": ({"svi.initial": None}, "k-means"),
  "step size from 0.05": ({"svi.initial": 0.05}, "k-means"),
  "KL annealed over 5,000 steps": ({"kl_anneal_steps": 5000}, "k-means"),
  "learning rate 1e-4": ({"learning_rate": 1e-4}, "k-means"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherInit(FactorialMixture):
  """A mixture that begins as `name` says, one of `frozen.INITS`."""

  name: str

  def init_from(
    self,
    key: Array,
    variables: Variables,
    loc: Array,
    log_var: Array,
    num_data: int,
  ) -> tuple[None, prior.PriorState]:
    del variables
    ((_, k),) = self.factors
    return None, frozen.init(self.name, key, k, loc, log_var, num_data)


def with_prior(exp: Experiment, mixture: FactorialMixture) -> Experiment:
  """The experiment with another mixture in the phases that have one."""
  old = exp.model.prior
  return dataclasses.replace(
    exp,
    model=exp.model.replace(prior=mixture),
    phases=tuple(
      dataclasses.replace(p, prior=mixture) if p.prior == old else p
      for p in exp.phases
    ),
  )


def pretrained(argv: list[str], exp: Experiment) -> TrainState:
  """The state after phase 1, trained in a workdir that several rows share."""
  config = config_lib.pretraining(exp.config)
  digest = hashlib.sha256(config.to_json(sort_keys=True).encode()).hexdigest()
  workdir = pathlib.Path(_WORKDIR.value) / f"pretrained_{digest[:8]}"
  if not (workdir / "results.json").exists():
    first = common.build(argv, config)
    loop.prepare(first, workdir)
    loop.train(first, workdir)
  return checkpoints.restore_pretrained(exp, workdir)


def train(argv: list[str], name: str) -> evaluation.Evaluation:
  """Makes one change and trains to the end."""
  fields, init = _CHANGES[name]
  config = mnist_mlp.get_config(_ARGUMENT)
  config.learning_rate = 3e-4
  config.learning_rate_decay = "none"
  config.steps.joint = 8_000
  config.update_from_flattened_dict(fields)
  exp = common.build(argv, config)
  initial = pretrained(argv, exp)
  if init != "k-means":
    exp = with_prior(exp, OtherInit(exp.model.prior.factors, name=init))
  workdir = pathlib.Path(_WORKDIR.value) / name.replace(" ", "_")
  loop.prepare(exp, workdir)
  return loop.train(exp, workdir, initial=initial)


def main(argv: list[str]) -> None:
  with replacing(pathlib.Path(_OUT)) as path, path.open("w") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for name in _ONLY.value or _CHANGES:
      result = train(argv, name)
      scores = (result.bound, result.reconstruction, *result.kl_z, *result.kl_r)
      rows.writerow(
        [name]
        + [f"{score:.2f}" for score in scores]
        + [*result.used, f"{result.perplexity[0]:.1f}"]
      )


if __name__ == "__main__":
  app.run(main)
