"""What a person gets at the end of a run."""

import pathlib

import jax

from fmvae.evaluation import Evaluation, PropertyScores
from fmvae.model import Model, TrainState
from fmvae.storage import replacing, write_json

_PICTURE_SEED = 2


def report(
  model: Model,
  state: TrainState,
  workdir: pathlib.Path,
  result: Evaluation,
  num_samples: int,
) -> None:
  """Prints a result; leaves results.json and samples.png in the workdir.

  Args:
    model: with the prior that is in effect.
    state: on one device.
    workdir: of the run.
    result: what `evaluate` made of the state.
    num_samples: draws of z per test image that it took.
  """
  print(f"step {state.step}, test set: {result}")
  result.warn_of_collapse()
  written = ["results.json"]
  properties = result.score(PropertyScores)
  matrices = properties.matrices if properties else ()
  for matrix in matrices:
    print(f"{matrix.feature}, assigned in each column:\n{matrix.table()}")
  write_json(
    workdir / "results.json",
    {
      "step": int(state.step),
      "samples": num_samples,
      **result.scalars(),
      "named": {matrix.feature: matrix.record() for matrix in matrices},
    },
  )
  if model.prior.factors:
    from fmvae.figures import component_samples  # matplotlib loads slowly

    figure = component_samples(model, state, jax.random.key(_PICTURE_SEED))
    with replacing(workdir / "samples.png") as path:
      figure.savefig(path, dpi=110)
    written.append("samples.png")
  print(f"written to {workdir}: {', '.join(written)}")
