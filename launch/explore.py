"""Writes a page in which a person chooses components and sees the picture.

  python -m launch.explore --workdir=runs/shapes
  python -m launch.explore --workdir=mnist

The file, explorer.html in the folder of the run, is complete in itself: any
current browser opens it, with encoder and decoder in it and no server behind.
The second command is for a model that comes along, and writes to the current
folder.
"""

import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from fmvae.storage import StorageError, storing, write_text
from launch import common, trained

if TYPE_CHECKING:
  import numpy as np

  from fmvae.trained import Trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_OUT = flags.DEFINE_string(
  "out",
  None,
  "The .html file to write. By default it is explorer.html, in the folder of "
  "the run, or in the current one for a model that comes with fmvae.",
)
_PICTURES = flags.DEFINE_boolean(
  "pictures",
  None,
  "Whether test pictures of the run's data go into the file, in which they are "
  "found by their components. By default those of a data set whose licence "
  "allows it do, and your own do not. Those of CelebA never do.",
)


def _shown(run: "Trained") -> "np.ndarray | None":
  """The test pictures that go into the file, if any."""
  from fmvae import config as config_lib
  from fmvae import data, explorer
  from fmvae import experiment as experiment_lib

  name, wanted = run.config.dataset.name, _PICTURES.value
  if not (data.may_be_shown(name) if wanted is None else wanted):
    return None
  config_lib.named("--pictures: ", lambda: explorer.require_shown(name))
  try:
    _, test = experiment_lib.load_data(
      run.config,
      data_dir=common.DATA_DIR.value,
      manual_dir=common.MANUAL_DIR.value,
    )
  except data.DataError as error:
    if wanted:
      raise
    print(f"without test pictures: {error}")
    return None
  images: np.ndarray = test.images[:]
  return images


def main(argv: list[str]) -> None:
  """Packs the model and writes the page."""
  from fmvae import explorer
  from fmvae.training.report import file_name, result_step

  try:
    folder = trained.workdir()
    is_run = folder.is_dir()  # or else a model that comes along
    default = (folder if is_run else pathlib.Path()) / "explorer.html"
    out = trained.page_to_write(_OUT.value, default)
    run = trained.restore_mixture(argv, released=True)
    if _OUT.value is None and is_run:
      last = result_step(folder, run.total)
      out = out.with_name(file_name(out.name, run.step, last))
    made = explorer.pack(run, _shown(run))
    with storing(out.parent, trained.ADVICE):
      write_text(out, made.page)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(
    f"written to {out}: {len(made.page) / 1e6:.1f} MB, {made.neighbours:,} "
    "test pictures; rounding its parameters moves a pixel by up to "
    f"{255 * made.worst_error:.2f} of 255"
  )


if __name__ == "__main__":
  common.run(main)
