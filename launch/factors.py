"""Says what each factor tells of each property of the test images.

  python -m launch.factors --workdir=runs/shapes

Prints the normalised mutual information of every factor's components with every
feature of the data set, named or not, and the scores of the field (MIG, DCI,
InfoMEC) of the components and of the means of q(z|x). They are written to
factors.json and, as a picture, factors.png in the folder of the run.
"""

import dataclasses
import sys

from absl import flags

from fmvae import figures
from fmvae.storage import StorageError, storing, write_json
from launch import common, trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_DPI = 150


def main(argv: list[str]) -> None:
  """Scores the factors, prints and writes."""
  import jax
  import numpy as np

  from fmvae import evaluation
  from fmvae.training.report import file_name, result_step, say_written

  try:
    run = trained.restore_mixture(argv)
    test = trained.experiment_of(run).test
    features = [
      name for name, values in test.features.items() if len(set(values)) > 1
    ]
    if not features:
      raise ValueError(f"{run.config.dataset.name} has no feature to tell")
    properties = np.stack([test.features[name] for name in features], -1)
    loc, log_var = map(
      np.asarray,
      run.model.encode(
        run.state, test.images, jax.random.key(0), training=False
      ),
    )
    codes = np.stack(
      [np.argmax(resp, -1) for resp in run.responsibilities(loc, log_var)], -1
    )
    nmi = evaluation.nmi_matrix(codes, properties)
    scores = {
      "components": evaluation.disentanglement(codes, properties),
      "means": evaluation.disentanglement(loc, properties),
    }
  except ValueError as error:
    sys.exit(f"error: {error}")
  names = [str(factor.name) for factor in run.factors]
  width = max(map(len, [*names, "NMI"]))
  print(f"{'NMI':>{width}}", *(f"{name:>11}" for name in features))
  for name, row in zip(names, nmi, strict=True):
    print(f"{name:>{width}}", *(f"{value:>11.2f}" for value in row))
  for of, score in scores.items():
    told = ", ".join(
      f"{name} {value:.3f}" for name, value in dataclasses.asdict(score).items()
    )
    print(f"{of}: {told}")
  workdir = trained.workdir()
  total = result_step(workdir, run.total)
  record = {
    "step": run.step,
    "features": features,
    "factors": names,
    "nmi": nmi.tolist(),
    **{of: dataclasses.asdict(score) for of, score in scores.items()},
  }
  files = [
    file_name(f"factors.{end}", run.step, total) for end in ("json", "png")
  ]
  try:
    with storing(workdir, trained.ADVICE):
      write_json(workdir / files[0], record)
      figures.write(
        lambda: figures.factor_matrix(nmi, names, features),
        workdir / files[1],
        _DPI,
      )
  except StorageError as error:
    sys.exit(f"error: {error}")
  say_written(workdir, files, run.step, total)


if __name__ == "__main__":
  common.run(main)
