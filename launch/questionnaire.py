"""Asks people what generated pictures show, as in the paper's Table 1.

  python -m launch.questionnaire --workdir=runs/shapes
  python -m launch.questionnaire --workdir=runs/shapes --answers=a.json,b.json

The first command writes questionnaire.html, a page to give to raters, and
questionnaire_key.json, which they should not see. Each rater saves a file of
answers from that page; the second command scores these files.
"""

import pathlib
import sys

from absl import flags

from fmvae.storage import (
  StorageError,
  read_json,
  storing,
  write_json,
  write_text,
)
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_PICTURES = flags.DEFINE_integer(
  "pictures",
  54,
  "How many generated pictures the questionnaire shows.",
  lower_bound=1,
  upper_bound=10_000,
)
_SEED = flags.DEFINE_integer(
  "seed",
  0,
  "The seed of the generated pictures.",
  lower_bound=0,
  upper_bound=2**32 - 1,  # of a JAX key
)
_ANSWERS = flags.DEFINE_list(
  "answers",
  None,
  "The files of answers to score, one from each rater. Without them a new "
  "questionnaire is written.",
)


def _export(argv: list[str], workdir: pathlib.Path) -> None:
  from fmvae.evaluation import questionnaire

  run = trained.restore_mixture(argv)
  made = questionnaire.make_questionnaire(
    run.model, run.state, _PICTURES.value, _SEED.value
  )
  with storing(workdir, trained.ADVICE):
    write_text(workdir / "questionnaire.html", made.page)
    write_json(workdir / "questionnaire_key.json", made.key)
  print(
    f"written to {workdir}: questionnaire.html, which goes to raters, and "
    "questionnaire_key.json, which does not"
  )


def _score(workdir: pathlib.Path, answers: list[str]) -> None:
  from fmvae.evaluation import questionnaire

  path = workdir / "questionnaire_key.json"
  if not path.is_file():
    raise ValueError(f"{path} is not there: export a questionnaire first")
  try:
    key = read_json(path)
  except ValueError as error:
    raise ValueError(
      f"{path} cannot be read ({error}): restore it, or export a questionnaire "
      "anew"
    ) from error
  scores = questionnaire.score(key, [pathlib.Path(f) for f in answers])
  for part in scores.matrices:
    print(part)
  for rater, accuracies in scores.raters.items():
    said = [
      "no answer" if a is None else f"{100 * a:.0f} %" for a in accuracies
    ]
    print(f"  {questionnaire.printable(rater)}:", ", ".join(said))
  with storing(workdir, trained.ADVICE):
    write_json(
      workdir / "questionnaire_scores.json",
      {
        "raters": scores.raters,
        "all": {part.feature: part.record() for part in scores.matrices},
      },
    )
  print(f"written to {workdir}: questionnaire_scores.json")


def main(argv: list[str]) -> None:
  """Exports a questionnaire, or scores answers to it."""
  try:
    workdir = trained.workdir()
    if _ANSWERS.value:
      common.set_up(argv)
      _score(workdir, _ANSWERS.value)
    else:
      _export(argv, workdir)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  common.run(main)
