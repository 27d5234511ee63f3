"""Judges generated pictures by a classifier: Table 1 without ten people.

python -m launch.judge --workdir=runs/shapes

The classifier is trained on the real training images; how it does on real test
images stands beside its judgement. Written to judge.json in the workdir.
"""

import pathlib
import sys

from absl import app, flags

from fmvae import evaluation
from fmvae.files import write_json
from launch import trained

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
_PICTURES = flags.DEFINE_integer(
  "pictures", 2000, "Generated pictures to judge.", lower_bound=1
)
_STEPS = flags.DEFINE_integer(
  "steps", 2000, "Training steps of the classifier.", lower_bound=1
)


def main(argv: list[str]) -> None:
  """Trains the judge, asks it and reports."""
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    experiment, state = trained.restore_mixture(argv, workdir)
    judge = evaluation.train_judge(experiment, _STEPS.value)
  except ValueError as error:
    sys.exit(f"error: {error}")
  judged = evaluation.judge_generated(experiment, state, judge, _PICTURES.value)
  for title, parts in (
    (f"the judge on {len(experiment.test)} real test images", judge.tested),
    (f"{_PICTURES.value} generated pictures by the judge", judged),
  ):
    print(title)
    for part in parts:
      print(f"  {part}")
  record = {
    name: {part.feature: part.record() for part in parts}
    for name, parts in (("real", judge.tested), ("generated", judged))
  }
  write_json(
    workdir / "judge.json",
    {"step": int(state.step), "judge_steps": _STEPS.value, **record},
  )
  print(f"written to {workdir}: judge.json")


if __name__ == "__main__":
  app.run(main)
