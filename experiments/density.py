"""One stochastic layer in the literature's setting, under any prior.

40 dimensions, two gated layers of 300 units (Tomczak & Welling, 2018; Norouzi
et al., 2020), batches of 100, a KL weight that rises over the first epochs, the
last 10,000 training images of MNIST held out (of Omniglot 1,345 of 24,345, as
there). Theirs trains at 5e-4 until the bound on these has not risen for 50
epochs; here the rate falls from 1e-3 to 0 over `epochs`, which reaches the same
sooner, and `patience` epochs end a run as theirs. A factorial mixture begins
after half of the epochs under N(0, I); the other mixtures begin with the run.
  python -m launch.train --config=experiments/density.py:prior=vamp,k=500 \\
    --workdir=runs/density/vamp
  python -m launch.evaluate --workdir=runs/density/vamp \\
    --importance_samples=5000
The literature's NLL (importance-sampled, S = 5,000) on dynamic MNIST: N(0, I)
84.45, VampPrior 82.43, exemplars 82.09; static: VampPrior 85.57.

Its argument: `prior`, of config.prior; `k` components in all, shared out evenly
among `factors`, of equal parts of the dimensions; `data`: 'dynamic' or 'static'
MNIST, or 'omniglot'; `epochs` in all; `warmup` of them; `patience`, in epochs,
0: none; `constant`: a rate of 5e-4 throughout.
"""

from typing import Any

from ml_collections import ConfigDict

from fmvae import config as config_lib

_BATCH = 100
_DATA = {"dynamic": "mnist", "static": "mnist", "omniglot": "omniglot"}


def get_config(arg: str | None = None) -> ConfigDict:
  given: dict[str, Any] = {
    "prior": "factorial_mixture",
    "k": 500,
    "factors": 1,
    "data": "dynamic",
    "epochs": 200,
    "warmup": 20,
    "patience": 0,
  } | config_lib.parse_argument(
    arg,
    smoke=bool,
    constant=bool,
    prior=str,
    k=int,
    factors=int,
    data=str,
    epochs=int,
    warmup=int,
    patience=int,
  )
  if given["data"] not in _DATA:
    raise ValueError(
      f"the argument data must be one of {list(_DATA)}, got {given['data']!r}"
    )
  if given.get("smoke"):
    given["k"] = min(given["k"], 64)
  config = config_lib.default()
  dataset = config.dataset
  dataset.name = _DATA[given["data"]]
  dataset.binarisation = "static" if given["data"] == "static" else "dynamic"
  dataset.validation, dataset.validation_seed = 10_000, None
  num_train = 50_000
  if given["data"] == "omniglot":
    dataset.resplit, dataset.validation = (24_345, 8_070), 1_345
    num_train = 23_000
  config.network = {"name": "gated_mlp", "hidden": (300, 300)}
  config.latent_dim = 40
  config.prior, num = given["prior"], given["factors"]
  if num < 1 or 40 % num or given["k"] % num:
    raise ValueError(
      "the argument factors must divide 40 dimensions and k components, got "
      f"{num} with k = {given['k']}"
    )
  config.factors = ((40 // num, given["k"] // num),) * num
  config.batch_size = _BATCH
  config.learning_rate = 5e-4 if given.get("constant") else 1e-3
  if given.get("constant"):
    config.learning_rate_decay = "none"
  epoch = num_train // _BATCH
  total, warmup = given["epochs"] * epoch, given["warmup"] * epoch
  if config.prior == "factorial_mixture":
    first = total // 2
    config.steps = {
      "pretrain": first,
      "prior": 4 * epoch,
      "joint": total - first - 4 * epoch,
    }
    config.kl_anneal_steps = warmup
    config.svi.tau0 = 300.0
  else:
    config.steps = {"pretrain": 0, "prior": 0, "joint": total}
    share = min(warmup / max(total, 1), 1.0)
    config.kl_z_weight = ((0.0, 0.0), (share, 1.0)) if share else ((0.0, 1.0),)
  config.patience, config.log_every = given["patience"], epoch
  config.evaluate_every = epoch if config.patience else 10 * epoch
  config.checkpoint_every = 10 * epoch
  config_lib.adapt(config, smoke=given.get("smoke", False))
  return config
