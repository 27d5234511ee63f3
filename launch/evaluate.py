"""Evaluates a trained model on the test set and draws samples from it.

  python -m launch.evaluate --workdir=runs/digits --samples=10

Prints the bound on the test set with its parts and leaves results.json in the
folder of the run, with samples.png where the prior has components to draw. Of a
run that has not finished, or an earlier checkpoint, it leaves
results_step_STEP.json and samples_step_STEP.png.
"""

import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from fmvae.storage import StorageError, storing, write_json
from launch import common, trained

if TYPE_CHECKING:
  from fmvae.data import Split
  from fmvae.evaluation import Evaluation
  from fmvae.trained import Trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_MOST = 2**31 - 1  # draws of z
_SAMPLES = flags.DEFINE_integer(
  "samples",
  1,
  "How many latent vectors z are drawn for each test image.",
  lower_bound=1,
  upper_bound=_MOST,
)
_IMPORTANCE_SAMPLES = flags.DEFINE_integer(
  "importance_samples",
  0,
  "How many latent vectors z are drawn for each test image to estimate its log "
  "likelihood by importance sampling. The estimate goes to importance.json, or "
  "importance_step_STEP.json before the last step; 0 makes none. The "
  "literature takes 5,000.",
  lower_bound=0,
  upper_bound=_MOST,
)
_IMAGES = flags.DEFINE_integer(
  "images",
  None,
  "How many test images, always the same ones picked at random, the estimate "
  "of --importance_samples is made on. By default it is all of them; of some, "
  "their bound and that of all tell what it would be.",
  lower_bound=1,
)


def main(argv: list[str]) -> None:
  """Restores a state and reports on it."""
  from fmvae import evaluation

  try:
    run = trained.restore(argv)
    experiment = trained.experiment_of(run)
  except ValueError as error:
    sys.exit(f"error: {error}")
  result, *judged = (
    evaluation.evaluate(
      run.model,
      run.state,
      images,
      num_data=run.design.spec.num_train,
      num_samples=_SAMPLES.value,
    )
    for images in (experiment.test, experiment.validation)
    if images is not None
  )
  workdir = trained.workdir()
  try:
    with storing(workdir, trained.ADVICE):
      _report(run, workdir, experiment.test, result, *judged)
  except StorageError as error:
    sys.exit(f"error: {error}")


def _report(
  run: "Trained",
  workdir: pathlib.Path,
  test: "Split",
  result: "Evaluation",
  validation: "Evaluation | None" = None,
) -> None:
  """Prints and writes the result, then the estimate where it is asked for."""
  from fmvae import evaluation
  from fmvae.training.report import (
    file_name,
    report,
    result_step,
    say_written,
    which_step,
  )

  step, total = run.step, run.total
  last = result_step(workdir, total)
  report(
    run.model,
    run.state,
    workdir,
    result,
    evaluation.examine(run.model, run.state, test),
    _SAMPLES.value,
    total,
    last,
    None if validation is None else validation.bound,
    has_seen_all=run.design.has_seen_all(step),
  )
  if _IMPORTANCE_SAMPLES.value:
    estimate = evaluation.importance_nll(
      run.model, run.state, test, _IMPORTANCE_SAMPLES.value, _IMAGES.value
    )
    print(estimate)
    name = file_name("importance.json", step, last)
    write_json(
      workdir / name,
      which_step(step, total) | dataclasses.asdict(estimate),
    )
    say_written(workdir, [name], step, last)


if __name__ == "__main__":
  common.run(main)
