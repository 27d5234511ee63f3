"""Your own data, with what fits it: network, likelihood, components.

Commands, for a folder of pictures (sub-folders are classes, or a CSV file in it
has a column `file` and one for each property), an .npz with `images`, or an
image data set of the TFDS catalogue:
  python -m launch.train --config=experiments/own.py:data=my_pictures,size=64
  python -m launch.train --config=experiments/own.py:data=my.npz,labels=kind+age
  python -m launch.train --config=experiments/own.py:data=fashion_mnist,k=64
`size` cuts the square in the middle and resizes it. Each property in `labels`
names a factor, learnt from the pictures that have it; k components are for what
has no name, in one factor, in two beside named ones. 8,000 or 10,000 steps,
minutes on a CPU with small pictures; no result of the paper.
"""

from pathlib import Path

from ml_collections import ConfigDict

from fmvae import config as config_lib

_D_NAMED, _D = 8, 16  # dimensions of a factor


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(
    arg, data=str, size=int, labels=str, smoke=bool, k=int
  )
  config = config_lib.default()
  name = arguments.pop("data", "uci_digits")
  path = Path(name).expanduser()
  # So that programs that look at the run find it from any folder.
  config.dataset.name = str(path.resolve()) if path.exists() else name
  size = arguments.pop("size", None)
  if size is not None:
    config.dataset.size, config.dataset.crop = size, "centre"
  config.dataset.binarisation = "auto"
  config.likelihood = "auto"
  config.network = {"name": "auto"}
  labels = [n for n in arguments.pop("labels", "").split("+") if n]
  config.dataset.labels = tuple(enumerate(labels))
  named = ((_D_NAMED, 0),) * len(labels)
  free = ((_D, 16), (_D, 16)) if labels else ((2 * _D, 32),)
  config.factors = named + free
  config.latent_dim = sum(d for d, _ in config.factors)
  config.learning_rate = 1e-3
  if labels:  # as experiments/shapes.py
    config.steps = {"pretrain": 0, "prior": 1000, "joint": 7000}
    config.delta = ((0.0, 3000.0),)
    config.kl_z_weight = ((0.0, 20.0), (0.6, 20.0), (0.8, 5.0))
  else:
    config.steps = {"pretrain": 4000, "prior": 1000, "joint": 5000}
  config_lib.adapt(config, **arguments)
  # At least as many as a property has values, which only the data know.
  config.init_encodings = max(config.init_encodings, 256)
  return config
