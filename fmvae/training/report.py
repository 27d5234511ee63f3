"""What a person gets at the end of a run."""

import pathlib
from collections.abc import Sequence

import jax

from fmvae.evaluation import Diagnosis, Evaluation, PropertyScores
from fmvae.model import Model, TrainState
from fmvae.storage import read_json, write_json

PICTURE_SEED, PICTURE_DPI = 2, 110  # of samples.png


def result_step(workdir: pathlib.Path, total: int) -> int:
  """The step that is a run's result: its last, or what config.patience chose.

  Args:
    workdir: of the run.
    total: steps that it has when none is left out.
  """
  try:
    found = read_json(workdir / "results.json")
    return int(found["step"]) if found.get("of_steps") == total else total
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return total


def which_step(step: int, total: int) -> dict[str, int]:
  """What a file says of the step that it is about."""
  return {"step": step} | ({} if step == total else {"of_steps": total})


def file_name(name: str, step: int, last: int) -> str:
  """The name of a file about a step of a run: its own for the result alone.

  'results.json' is 'results_step_20.json' for step 20 of 30: a look at a run
  that has not finished, or at an earlier checkpoint, is not its result.

  Args:
    name: of the file about the result.
    step: what it is about.
    last: the step that is the result.
  """
  stem, dot, extension = name.partition(".")
  return name if step == last else f"{stem}_step_{step}{dot}{extension}"


def say_written(
  workdir: pathlib.Path, names: Sequence[str], step: int, last: int
) -> None:
  """Prints which files are written, and of which step if not of the result."""
  which = "" if step == last else f" (of step {step}; the run has {last})"
  print(f"written to {workdir}: {', '.join(names)}{which}")


def report(
  model: Model,
  state: TrainState,
  workdir: pathlib.Path,
  result: Evaluation,
  diagnosis: Diagnosis,
  num_samples: int,
  total: int,
  result_step: int,
  validation_bound: float | None = None,
  *,
  has_seen_all: bool,
) -> None:
  """Prints a result; leaves results.json and samples.png in the workdir.

  Before the last step their names are others, as `file_name` says.

  Args:
    model: with the prior that is in effect.
    state: on one device.
    workdir: of the run.
    result: what `evaluate` made of the state.
    diagnosis: what `examine` found.
    num_samples: draws of z per test image that it took.
    total: steps that the run has when none is left out.
    result_step: the one that is its result.
    validation_bound: of the state, on the validation images.
    has_seen_all: whether the run is long enough for all training images; of one
      that is not, a try, what is unused is not printed.
  """
  step = int(state.step)
  print(f"step {step}, test set: {result}")
  if has_seen_all and str(diagnosis):
    print(f"what is unused:\n{diagnosis}")
  written = [file_name("results.json", step, result_step)]
  properties = result.score(PropertyScores)
  matrices = properties.matrices if properties else ()
  for matrix in matrices:
    print(f"{matrix.feature}, assigned in each column:\n{matrix.table()}")
  write_json(
    workdir / written[0],
    {
      **which_step(step, total),
      "samples": num_samples,
      **result.scalars(),
      **(
        {}
        if validation_bound is None
        else {"validation_bound": validation_bound}
      ),
      "diagnosis": diagnosis.record(),
      "named": {matrix.feature: matrix.record() for matrix in matrices},
    },
  )
  if model.prior.factors and model.of_pictures:
    from fmvae import figures  # matplotlib loads slowly

    key = jax.random.key(PICTURE_SEED)
    written.append(file_name("samples.png", step, result_step))
    figures.write(
      lambda: figures.component_samples(model, state, key),
      workdir / written[-1],
      dpi=PICTURE_DPI,
    )
  say_written(workdir, written, step, result_step)
