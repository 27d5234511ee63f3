"""What a person gets at the end of a run."""

import pathlib

import jax

from fmvae.evaluation.bound import Evaluation, warn_of_collapse
from fmvae.experiment import Experiment
from fmvae.files import replacing, write_json
from fmvae.training.state import TrainState

_PICTURE_SEED = 2


def report(
  experiment: Experiment,
  state: TrainState,
  workdir: pathlib.Path,
  result: Evaluation,
  num_samples: int,
) -> None:
  """Prints a result; leaves results.json and samples.png in the workdir.

  Args:
    experiment: what was trained.
    state: on one device.
    workdir: of the run.
    result: what `evaluate` made of the state.
    num_samples: draws of z per test image that it took.
  """
  print(f"step {state.step}, test set: {result}")
  warn_of_collapse(result)
  written = ["results.json"]
  for part in result.named:
    print(f"{part.feature}, assigned in each column:\n{part.table()}")
  write_json(
    workdir / "results.json",
    {
      "step": int(state.step),
      "samples": num_samples,
      **result.scalars(),
      "named": {part.feature: part.record() for part in result.named},
    },
  )
  if result.used:  # the mixture has been started
    from fmvae.figures import component_samples  # matplotlib loads slowly

    figure = component_samples(experiment, state, jax.random.key(_PICTURE_SEED))
    with replacing(workdir / "samples.png") as path:
      figure.savefig(path, dpi=110)
    written.append("samples.png")
  print(f"written to {workdir}: {', '.join(written)}")
