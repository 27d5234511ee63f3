"""Has a classifier say what generated pictures show, as in the paper's Table 1.

  python -m launch.judge --workdir=runs/shapes

The paper asked ten people. Here a classifier is trained on the real training
images instead. What it sees in generated pictures is printed beside how well it
does on real test images. Where there are factors without a name it also sees
pictures of test images whose unnamed z_i are those of another one: how often
they still show their own value, and how often the other's, the leak. All of it
is written to judge.json in the folder of the run, to judge_step_STEP.json where
that is not its last step.
"""

import dataclasses
import sys

from absl import flags

from fmvae.storage import StorageError, storing, write_json
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_PICTURES = flags.DEFINE_integer(
  "pictures",
  2000,
  "How many generated pictures the classifier looks at, all at once.",
  lower_bound=1,
  upper_bound=100_000,
)
_STEPS = flags.DEFINE_integer(
  "steps",
  2000,
  "For how many steps the classifier is trained.",
  lower_bound=1,
  upper_bound=2**31 - 1,
)


def main(argv: list[str]) -> None:
  """Trains the classifier, shows it generated pictures and reports."""
  from fmvae import evaluation
  from fmvae.training.report import file_name, result_step, say_written

  try:
    run = trained.restore_mixture(argv)
    experiment = trained.experiment_of(run)
    train, test = experiment.train, experiment.test
    classifier = evaluation.train_classifier(
      run.model, train, test, _STEPS.value
    )
  except ValueError as error:
    sys.exit(f"error: {error}")
  generated = evaluation.classify_generated(
    run.model, run.state, classifier, _PICTURES.value
  )
  swapped: tuple[evaluation.SwapScore, ...] = ()
  if run.model.unnamed:
    try:
      swapped = evaluation.classify_swapped(
        run.model, run.state, classifier, test, _PICTURES.value
      )
    except ValueError as error:
      print(error)
  for title, parts in (
    (f"the classifier on {len(test)} real test images", classifier.tested),
    (f"the classifier on {_PICTURES.value} generated pictures", generated),
    (f"on {_PICTURES.value} with the unnamed z of another image", swapped),
  ):
    if parts:
      print(title)
    for part in parts:
      print(f"  {part}")
  if (
    run.model.of_pictures
    and not experiment.config.obedience
    and evaluation.disobeys(generated, classifier.tested)
  ):
    print(
      "Such pictures obey more where config.obedience, and config.draw_named "
      "and config.independence with it, train for it."
    )
  record: dict[str, object] = {
    name: {part.feature: part.record() for part in parts}
    for name, parts in (
      ("real", classifier.tested),
      ("generated", generated),
    )
  }
  record["swapped"] = {s.feature: dataclasses.asdict(s) for s in swapped}
  workdir, step, total = trained.workdir(), run.step, run.total
  last = result_step(workdir, total)
  name = file_name("judge.json", step, last)
  record |= {"step": step, "judge_steps": _STEPS.value}
  try:
    with storing(workdir, trained.ADVICE):
      write_json(workdir / name, record)
  except StorageError as error:
    sys.exit(f"error: {error}")
  say_written(workdir, [name], step, last)


if __name__ == "__main__":
  common.run(main)
