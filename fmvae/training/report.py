"""What a person gets at the end of a run."""

import pathlib
from collections.abc import Sequence

import jax

from fmvae.evaluation import Evaluation, PropertyScores
from fmvae.model import Model, TrainState
from fmvae.storage import write_json

_PICTURE_SEED = 2


def file_name(name: str, step: int, total: int) -> str:
  """The name of a file about a step of a run: its own for the last step alone.

  'results.json' is 'results_step_20.json' for step 20 of 30: a look at a run
  that has not finished, or at an earlier checkpoint, is not its result.
  """
  stem, dot, extension = name.partition(".")
  return name if step == total else f"{stem}_step_{step}{dot}{extension}"


def say_written(
  workdir: pathlib.Path, names: Sequence[str], step: int, total: int
) -> None:
  """Prints which files are written, and of which step if not of the last."""
  which = "" if step == total else f" (of step {step}; the run has {total})"
  print(f"written to {workdir}: {', '.join(names)}{which}")


def report(
  model: Model,
  state: TrainState,
  workdir: pathlib.Path,
  result: Evaluation,
  num_samples: int,
  total: int,
) -> None:
  """Prints a result; leaves results.json and samples.png in the workdir.

  Before the last step their names are others, as `file_name` says.

  Args:
    model: with the prior that is in effect.
    state: on one device.
    workdir: of the run.
    result: what `evaluate` made of the state.
    num_samples: draws of z per test image that it took.
    total: steps that the run has when it is finished.
  """
  step = int(state.step)
  print(f"step {step}, test set: {result}")
  written = [file_name("results.json", step, total)]
  properties = result.score(PropertyScores)
  matrices = properties.matrices if properties else ()
  for matrix in matrices:
    print(f"{matrix.feature}, assigned in each column:\n{matrix.table()}")
  write_json(
    workdir / written[0],
    {
      "step": step,
      "samples": num_samples,
      **result.scalars(),
      "named": {matrix.feature: matrix.record() for matrix in matrices},
    },
  )
  if model.prior.factors and model.of_pictures:
    from fmvae import figures  # matplotlib loads slowly

    key = jax.random.key(_PICTURE_SEED)
    written.append(file_name("samples.png", step, total))
    figures.write(
      lambda: figures.component_samples(model, state, key),
      workdir / written[-1],
      dpi=110,
    )
  say_written(workdir, written, step, total)
