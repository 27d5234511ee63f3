"""Writes what a trained model makes of images: codes, q(r|x) and q(z|x).

  python -m launch.encode --workdir=runs/shapes --out=codes.npz
  python -m launch.encode --workdir=runs/shapes --images=FOLDER --out=codes.csv

By default it takes the test images of the run's data set. --images names a
folder of PNG and JPEG files, or an .npz file with an array called images.
"""

import csv
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from fmvae.storage import StorageError, replacing, storing
from launch import common, trained

if TYPE_CHECKING:
  import numpy as np

  from fmvae.trained import Trained

flags.adopt_module_key_flags(trained)  # --help shows them too
_IMAGES = flags.DEFINE_string(
  "images",
  None,
  "A folder of PNG and JPEG files, or an .npz file with an array called "
  "images, in place of the images of the run's data set.",
)
_SPLIT = flags.DEFINE_enum(
  "split", "test", ["train", "test"], "Which images of the run's data set."
)
_OUT = flags.DEFINE_string("out", None, "The .npz or .csv file to write.")


def _read(run: "Trained") -> "tuple[np.ndarray, list[str]]":
  """The images, and what each is called."""
  from fmvae import config as config_lib
  from fmvae import data
  from fmvae import experiment as experiment_lib

  if _IMAGES.value is not None:
    if flags.FLAGS["split"].present:
      raise ValueError("--split is for the run's data set, without --images")
    path = pathlib.Path(_IMAGES.value)
    if path.is_dir():
      run.model.require_pictures("a folder of --images needs")
      fit = config_lib.make_fit(run.config)
      return data.read_pictures(path, run.design.spec.image_shape, fit)
    if not path.is_file():
      raise ValueError(f"--images {path} is not there")
    images = data.npz_arrays(path)["images"]
  else:
    train, test = experiment_lib.load_data(
      run.config,
      data_dir=common.DATA_DIR.value,
      manual_dir=common.MANUAL_DIR.value,
    )
    images = (test if _SPLIT.value == "test" else train).images[:]
  return images, [str(n) for n in range(len(images))]


def _describe(run: "Trained", images: Any, names: list[str]) -> dict[str, Any]:
  """The arrays to write, by name."""
  import numpy as np

  loc, log_var = run.encode(images)
  arrays: dict[str, Any] = {"image": np.array(names)}
  if run.factors:
    resp = run.responsibilities(loc, log_var)
    arrays["codes"] = np.stack([np.argmax(gamma, -1) for gamma in resp], -1)
    arrays["factors"] = np.array([factor.name for factor in run.factors])
    for factor, gamma in zip(run.factors, resp, strict=True):
      arrays[f"responsibilities/{factor.name}"] = gamma
      arrays[f"components/{factor.name}"] = np.array(factor.components)
  return arrays | {"loc": loc, "log_var": log_var}


def _write_csv(
  path: pathlib.Path, run: "Trained", arrays: dict[str, Any]
) -> None:
  """A row for each image; a code is the name of the component."""
  columns: dict[str, Any] = {"image": arrays["image"]}
  for i, factor in enumerate(run.factors):
    columns[f"code/{factor.name}"] = [
      factor.components[k] for k in arrays["codes"][:, i]
    ]
  for factor in run.factors:
    gamma = arrays[f"responsibilities/{factor.name}"]
    for k, name in enumerate(factor.components):
      columns[f"responsibility/{factor.name}/{name}"] = gamma[:, k]
  for name in ("loc", "log_var"):
    columns |= {f"{name}/{d}": of for d, of in enumerate(arrays[name].T)}
  with path.open("w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*columns.values(), strict=True))


def main(argv: list[str]) -> None:
  """Reads images, describes them and writes the file."""
  import numpy as np

  try:
    out = pathlib.Path(common.needed(_OUT))
    if out.suffix not in (".npz", ".csv"):
      raise ValueError(f"--out must end in .npz or .csv, got {out}")
    if not out.parent.is_dir():
      raise ValueError(
        f"--out is in the folder {out.parent}, which is not there"
      )
    run = trained.restore(argv, released=True)
    images, names = _read(run)
    arrays = _describe(run, images, names)
    with storing(out.parent, trained.ADVICE), replacing(out) as temporary:
      if out.suffix == ".npz":
        np.savez(temporary, **arrays)
      else:
        _write_csv(temporary, run, arrays)
  except (OSError, StorageError, ValueError) as error:
    sys.exit(f"error: {error}")
  print(f"written to {out}: {len(names):,} images")
  if out.suffix == ".csv":
    print(f"  read it by pandas.read_csv({str(out)!r}); columns: image,")
    print("  code/FACTOR, responsibility/FACTOR/COMPONENT, loc/D, log_var/D")
  else:
    print(f"  read it by numpy.load({str(out)!r}); arrays:")
    for name, array in arrays.items():
      print(f"  {name} {list(array.shape)}")


if __name__ == "__main__":
  common.run(main)
