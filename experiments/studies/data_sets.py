"""Does own data of every kind train by `experiments/own.py` alone?

Makes a data set of each kind out of what scikit-learn ships and of rendered
shapes, trains each for 1,000 steps from the command line and writes a CSV: what
was chosen to fit, seconds of the whole command, the test bound before and at
the end; or, where data cannot be had, what the command says. Some ten minutes
on two cores:

  python -m experiments.studies.data_sets --folder=runs/data_sets
"""

import csv
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags
from PIL import Image
from sklearn import datasets

from experiments.studies.runs import tabulate
from fmvae.data import shapes

_FOLDER = flags.DEFINE_string(
  "folder", None, "Where data and runs are kept.", required=True
)
_OUT = "experiments/results/data_sets.csv"
_STEPS = (
  "--config.steps.pretrain=400",
  "--config.steps.prior=100",
  "--config.steps.joint=500",
  "--config.evaluate_every=100",
)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A row of the table."""

  data: str
  chosen: str  # to fit
  seconds: str  # of the whole command
  bound_before: str = ""
  bound: str = ""
  accuracy: str = ""
  says: str = ""  # where it does not train


def digits_in_folders(path: pathlib.Path) -> None:
  """Sub-folders are classes."""
  digits = datasets.load_digits()
  for i, (image, digit) in enumerate(
    zip(digits.images, digits.target, strict=True)
  ):
    folder = path / f"digit {digit}"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((15.9 * image).astype(np.uint8)).save(folder / f"{i}.png")


def pictures_with_csv(path: pathlib.Path) -> None:
  """96x96 JPEG files; a shape for each, a colour for every second one."""
  images, names = _rendered(600)
  path.mkdir(parents=True)
  with (path / "labels.csv").open("w") as file:
    rows = csv.writer(file)
    rows.writerow(["file", "shape", "colour"])
    for i, (image, (shape, colour)) in enumerate(
      zip(images, names, strict=True)
    ):
      Image.fromarray(image).resize((96, 96)).save(path / f"{i}.jpg")
      rows.writerow([f"{i}.jpg", shape, "" if i % 2 else colour])


def tall_pictures(path: pathlib.Path) -> None:
  """Colour, 40x24, which no fixed pair takes; strings as labels."""
  images, names = _rendered(1000)
  tall = np.pad(images, ((0, 0), (4, 4), (0, 0), (0, 0)), "edge")[:, :, 4:28]
  np.savez(path, images=tall, shape=np.array([shape for shape, _ in names]))


def floats(path: pathlib.Path) -> None:
  """Grey floats in [0, 1], [N, 28, 28]."""
  images, _ = _rendered(1000)
  grey = images.mean(-1)[:, 2:30, 2:30] / 255
  np.savez(path, images=grey.astype(np.float32))


def vectors(path: pathlib.Path) -> None:
  """13 measurements of 178 wines of three kinds."""
  wine = datasets.load_wine()
  np.savez(path, images=wine.data, kind=wine.target)


def counts(path: pathlib.Path) -> None:
  """64 counts from 0 to 16."""
  digits = datasets.load_digits()
  np.savez(path, images=digits.data.astype(int), digit=digits.target)


_Made = tuple[str, Callable[[pathlib.Path], None] | None, str, tuple[str, ...]]
_CASES: tuple[_Made, ...] = (
  ("digits", digits_in_folders, ",labels=label", ()),
  ("pictures", pictures_with_csv, ",size=32,labels=shape+colour", ()),
  ("tall.npz", tall_pictures, ",labels=shape", ()),
  ("floats.npz", floats, "", ()),
  ("wine.npz", vectors, ",labels=kind", ("--config.batch_size=32",)),
  ("counts.npz", counts, "", ("--config.likelihood=negative_binomial",)),
  ("shapes/shape-colour-position", None, ",labels=shape", ()),
  ("fashion_mnist", None, "", ()),
  ("cifar10", None, "", ()),
)


def _rendered(num: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
  rng = np.random.default_rng(0)
  images, names = [], []
  for _ in range(num):
    shape = str(rng.choice(["disc", "bar", "triangle"]))
    colour = str(rng.choice(["red", "green", "blue", "yellow"]))
    picture = shapes.render(
      shape, colour, "large", "no frame", "dark", rng.uniform(-1, 1, 8)
    )
    images.append(np.clip(picture, 0, 255).astype(np.uint8))
    names.append((shape, colour))
  return np.stack(images), names


def main(argv: list[str]) -> None:
  del argv
  folder = pathlib.Path(_FOLDER.value).absolute()
  tabulate(pathlib.Path(_OUT), (_try(folder, *case) for case in _CASES))


def _try(
  folder: pathlib.Path,
  name: str,
  make: Callable[[pathlib.Path], None] | None,
  arguments: str,
  more: tuple[str, ...],
) -> Outcome:
  data = folder / "data" / name
  if make is not None and not data.exists():
    data.parent.mkdir(parents=True, exist_ok=True)
    make(data)
  workdir = folder / "runs" / re.sub(r"\W", "_", name)
  begin = time.perf_counter()
  done = subprocess.run(
    [
      *(sys.executable, "-m", "launch.train", f"--workdir={workdir}"),
      f"--data_dir={folder / 'prepared'}",
      f"--config=experiments/own.py:data={data if make else name}{arguments}",
      *_STEPS,
      *more,
    ],
    capture_output=True,
    text=True,
  )
  seconds = f"{time.perf_counter() - begin:.0f}"
  if done.returncode:
    said = done.stderr.strip().splitlines()[-1].replace(str(folder), "..")
    return Outcome(name, "", seconds, says=said)
  chosen = re.search(r"chosen to fit: (.*)", done.stdout)
  tested = [
    row
    for row in map(
      json.loads, (workdir / "metrics.jsonl").read_text().splitlines()
    )
    if row["split"] == "test"
  ]
  result = json.loads((workdir / "results.json").read_text())
  accuracy = "; ".join(
    f"{key.partition('/')[2]} {100 * value:.1f} %"
    for key, value in result.items()
    if key.startswith("balanced_accuracy/")
  )
  before, after = (f"{row['bound']:.2f}" for row in (tested[0], tested[-1]))
  what = chosen[1] if chosen else ""
  return Outcome(name, what, seconds, before, after, accuracy)


if __name__ == "__main__":
  app.run(main)
