"""What training for composition is worth, part by part (`fmvae.model.control`).

Trains the hard shapes, `experiments/shapes.py:hard`, as they are, with each of
their four parts left out, and with none of them, which is the objective and
the network of the paper. The same classifier looks at pictures of chosen
components and at pictures of two images' z_i. Some 15 minutes of a core a run:

  python -m experiments.studies.composition --workdir=runs/composition
  python -m experiments.studies.composition --workdir=runs/composition \\
    --only=all,paper --seeds=1,2,3,4

Runs go on where they were; the table has those that have ended.
"""

import json
import pathlib
import statistics
from typing import Any

import numpy as np
from absl import app, flags

from experiments import shapes
from experiments.studies.runs import write_table
from fmvae import evaluation
from fmvae.experiment import Experiment
from fmvae.storage import write_json
from fmvae.trained import load
from fmvae.training import loop
from launch import common

_WITHOUT: dict[str, dict[str, Any]] = {
  "all": {},
  "no modulation": {"network.modulated": False},
  "no draws": {"draw_named": 0.0},
  "no independence": {"independence": 0.0},
  "no obedience": {"obedience": 0.0},
}
VARIANTS = _WITHOUT | {
  "paper": {k: v for part in _WITHOUT.values() for k, v in part.items()}
}

_WORKDIR = flags.DEFINE_string("workdir", None, "For the runs.", required=True)
_ONLY = flags.DEFINE_list("only", list(VARIANTS), "Which to train.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Of each.")
_OUT = pathlib.Path("experiments/results/composition.csv")
_FILE = "composition.json"
_CLASSIFIER_STEPS, _PICTURES = 2000, 2000


def main(argv: list[str]) -> None:
  folder = pathlib.Path(_WORKDIR.value)
  for seed in map(int, _SEEDS.value):
    for name in _ONLY.value:
      config = shapes.get_config("hard")
      config.update_from_flattened_dict({"seed": seed, **VARIANTS[name]})
      workdir = folder / f"{name.replace(' ', '_')}_seed{seed}"
      if not (workdir / _FILE).exists():
        run = common.build(argv, config)
        loop.prepare(run, workdir)
        loop.train(run, workdir)
        row = {"variant": name, "seed": seed, **measured(workdir, run)}
        write_json(workdir / _FILE, row)
      _tabulate(folder)


def measured(workdir: pathlib.Path, run: Experiment) -> dict[str, float]:
  """Every number of a run's row."""
  trained, test = load(workdir), run.test
  model, state = trained.model, trained.state
  result = evaluation.evaluate(model, state, test, num_data=len(run.train))
  values = {
    "bound": result.bound,
    "bound_stderr": result.bound_stderr,
    "kl_z": sum(result.kl_z),
    "kl_r": sum(result.kl_r),
    "steps_per_second": _steps_per_second(workdir),
  }
  assigned = result.score(evaluation.PropertyScores)
  assert assigned is not None  # shapes has named factors
  classifier = evaluation.train_classifier(
    model, run.train, test, _CLASSIFIER_STEPS
  )
  for what, matrices in (
    ("assigned", assigned.matrices),
    ("real", classifier.tested),
    (
      "generated",
      evaluation.classify_generated(model, state, classifier, _PICTURES),
    ),
  ):
    values |= {f"{what}/{m.feature}": m.accuracy for m in matrices}
  for swap in evaluation.classify_swapped(
    model, state, classifier, test, _PICTURES
  ):
    values[f"own/{swap.feature}"] = swap.own
    values[f"leak/{swap.feature}"] = swap.leak
  codes = trained.codes(test.images)
  properties = np.stack([*test.features.values()], -1)
  nmi = evaluation.nmi_matrix(codes, properties)[[*model.unnamed]]
  named = {p.feature for p in model.properties}
  for feature, told in zip(test.features, nmi.T, strict=True):
    if feature not in named:
      values[f"nmi/{feature}"] = float(told.max())
      values[f"factor/{feature}"] = model.unnamed[int(told.argmax())]
  values["mig"] = evaluation.disentanglement(codes, properties).mig
  return values


def _steps_per_second(workdir: pathlib.Path) -> float:
  """Median over the joint phase."""
  rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  return statistics.median(
    row["steps_per_second"]
    for row in rows
    if row["phase"] == "joint" and row["split"] == "train"
  )


def _tabulate(folder: pathlib.Path) -> None:
  """A row of each run that has ended."""
  rows = [json.loads(path.read_text()) for path in folder.glob(f"*/{_FILE}")]
  order = list(VARIANTS)
  rows.sort(key=lambda row: (order.index(row["variant"]), row["seed"]))
  write_table(
    _OUT,
    [
      {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
      for row in rows
    ],
  )


if __name__ == "__main__":
  app.run(main)
