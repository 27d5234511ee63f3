"""CelebA with gender, glasses and smiling named (Sec. 4.2, Figures 1, 5, 6, 9).

The paper's networks and settings: five factors of 64 dimensions, three of them
named on 40 % of the images, Delta 1,000, KL[z] weighted 20 at first; about 14
hours on a P100, after which q(r|x) is right on 97, 99 and 91 % of test images.
The paper does not say how long the weight stays: here it falls to 1 over the
second tenth of the joint phase. Commands:
  python -m launch.train --config=experiments/celeb_a_named.py \\
    --manual_dir=FOLDER
  python -m launch.judge --workdir=runs/celeb_a_named
  python -m launch.figures --workdir=runs/celeb_a_named --figure=6
`celeb_a_named.py:cpu` is a smaller pair for a CPU, with training for pictures
that obey: with 20,000 faces and 85 minutes of one core q(r|x) is right on 93,
97 and 89 % (balanced 93, 87, 89 %), and a classifier sees what was asked for in
98, 95 and 96 %.
"""

from ml_collections import ConfigDict

from fmvae import config as config_lib


def get_config(arg: str | None = None) -> ConfigDict:
  arguments = config_lib.parse_argument(arg, smoke=bool, k=int, cpu=bool)
  config = config_lib.default()
  config.dataset.name = "celeb_a"
  config.dataset.binarisation = "none"
  # Component 0 is male, glasses, smiling, as in the paper.
  config.dataset.labels = (
    (0, "Male", (1, 0)),
    (1, "Eyeglasses", (1, 0)),
    (2, "Smiling", (1, 0)),
  )
  config.dataset.labelled_fraction = 0.4
  config.network = {"name": "conv64", "width": 128}
  config.likelihood = "gaussian"
  config.latent_dim = 320
  config.factors = ((64, 2), (64, 2), (64, 2), (64, 64), (64, 64))
  config.steps = {"pretrain": 0, "prior": 20_000, "joint": 300_000}
  config.svi.kappa = 0.52
  config.kl_z_weight = ((0.0, 20.0), (0.1, 20.0), (0.2, 1.0))
  if arguments.pop("cpu", False):
    config.network.width = 16
    config.latent_dim = 80
    # Named factors too small to hold more than their property; flips against
    # overfitting 6,400 labels; `obedience`, since the other factors outweigh
    # such small ones.
    config.factors = ((4, 2), (4, 2), (4, 2), (34, 32), (34, 32))
    config.dataset.flips = True
    config.draw_named = 0.5
    config.obedience = 100.0
    config.batch_size = 32
    config.learning_rate = 1e-3
    config.kl_z_weight = ((0.0, 20.0), (0.3, 20.0), (0.6, 1.0))
    config.checkpoint_every = 2000
    config.steps = {"pretrain": 0, "prior": 1000, "joint": 15_000}
  config_lib.adapt(config, **arguments)
  return config
