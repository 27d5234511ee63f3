"""From a folder of pictures to an edited picture.

Command: python docs/edit_a_picture.py
It takes a few minutes on two CPU cores, and writes the pictures of the page
edit_a_picture.md into docs/pictures. Its arguments are for tests: how many
pictures, how many steps, and where to write.
"""

import csv
import pathlib
import sys
import tempfile

import numpy as np
from matplotlib import pyplot as plt

import fmvae
from fmvae.data import shapes

NUM, STEPS = (int(arg) for arg in sys.argv[1:3] or (3000, 1600))
OUT = pathlib.Path(*sys.argv[3:] or [__file__, "..", "pictures"]).resolve()


def draw_a_folder(folder: pathlib.Path) -> None:
  """Stands for your pictures: PNG files, and a CSV file of what is known."""
  rng = np.random.default_rng(0)
  folder.mkdir()
  with (folder / "labels.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file", "shape", "colour"])
    for n in range(NUM):
      shape, colour = rng.choice(["disc", "bar"]), rng.choice(["red", "blue"])
      picture = shapes.render(
        shape=shape,
        colour=colour,
        size="large",
        frame="no frame",
        background=rng.choice(["dark", "grey", "light"]),
        jitter=rng.uniform(-1, 1, 8),
      )
      picture += rng.normal(scale=6, size=picture.shape)  # of the camera
      plt.imsave(folder / f"{n:04}.png", np.clip(picture / 255, 0, 1))
      known = rng.random() < 0.5  # half of the pictures have labels
      table.writerow([f"{n:04}.png", *([shape, colour] if known else ["", ""])])


# [read]
def read(folder):
  with (folder / "labels.csv").open() as file:
    rows = list(csv.DictReader(file))
  images = [plt.imread(folder / row["file"])[..., :3] for row in rows]
  labels = {name: [row[name] for row in rows] for name in ("shape", "colour")}
  return np.stack(images), labels


# [end read]


def save(name, *rows):
  """Pictures side by side, three times as large; a row for each argument."""
  picture = np.concatenate([np.concatenate(list(row), 1) for row in rows])
  plt.imsave(OUT / f"{name}.png", picture.repeat(3, 0).repeat(3, 1))


with tempfile.TemporaryDirectory() as temporary:
  draw_a_folder(pathlib.Path(temporary, "my_pictures"))
  images, labels = read(pathlib.Path(temporary, "my_pictures"))

# [fit]
model = fmvae.fit(
  images[:-8],
  labels={name: of[:-8] for name, of in labels.items()},
  factors=((4, 2), (4, 2), (12, 16)),  # shape, colour, all else
  steps=STEPS,
  # Named factors obey better where a wrong component and KL[z] weigh more, as
  # in experiments/own.py.
  delta=((0.0, 3000.0),),
  kl_z_weight=((0.0, 20.0), (0.6, 20.0), (0.8, 5.0)),
)
print(model)
# [end fit]

# [look]
save(
  "samples",
  model.sample(8, {"shape": "disc", "colour": "red"}),
  model.sample(8, {"shape": "bar", "colour": "red"}),
  model.sample(8, {"shape": "bar", "colour": "blue"}),
)
real = images[-8:]  # which it has not seen
print("codes:", model.codes(real).tolist())
print("bound:", model.score(real).mean().round(), "nats")
# [end look]

# [edit]
save(
  "edited",
  real,
  model.reconstruct(real),
  model.edit(real, {"colour": "red"}),
  model.edit(real, {"shape": "bar", "colour": "blue"}),
)
# [end edit]
