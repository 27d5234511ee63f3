"""The configuration of an experiment: its fields, defaults and checks."""

import itertools
from typing import Any

from ml_collections import ConfigDict

from fmvae import prior


def default() -> ConfigDict:
  """Every field that a config has, with the paper's values where it has any.

  Files in `experiments/` start from this and change what they need; a field
  that is not listed here is an error.
  """
  return ConfigDict(
    {
      "seed": 0,
      "dataset": {
        "name": "mnist",
        # False: training images are read from disk as the steps need them.
        "in_memory": True,
        # (train, test): sizes of a random split of all images, by split_seed,
        # in place of the official one, which () leaves.
        "resplit": (),
        "split_seed": 0,
        # 'static': one Bernoulli draw fixed by binarisation_seed; 'dynamic': a
        # new draw each time (the test set stays static); 'threshold'; 'none'.
        "binarisation": "static",
        "binarisation_seed": 0,
        "threshold": 0.5,
        # ((i, feature), ..) or ((i, feature, values), ..): factor i stands for
        # that property of the data set; its component k for the value
        # values[k], by default k.
        "labels": (),
        # Of the training images; or one fraction for each entry of `labels`.
        "labelled_fraction": 1.0,
      },
      "network": {"name": "mlp", "hidden": (512, 512)},
      "likelihood": "bernoulli",
      "latent_dim": 64,
      "factors": ((64, 128),),  # (D_i, K_i) of each factor; D_i sum to L
      "hyperprior": {"m0": 0.0, "s0": 1.0, "a0": 0.01, "b0": 0.01, "c0": 1.0},
      "batch_size": 64,
      "steps": {"pretrain": 100_000, "prior": 20_000, "joint": 200_000},
      "learning_rate": 1e-4,
      # 'cosine': it falls to 0 over the joint phase (our choice); 'none'
      "learning_rate_decay": "cosine",
      "kl_anneal_steps": 0,  # of pre-training, the KL's weight rising from 0
      # rho = initial (1 + tau/tau0)^-kappa; initial = None: (tau0 + tau)^-kappa
      "svi": {"kappa": 0.7, "tau0": 2000.0, "initial": 0.01},
      # Delta of eq. 8 and the weight of KL[z] over the joint phase: points
      # (fraction of the phase, value), straight lines between them.
      "delta": ((0.0, 1000.0),),
      "kl_z_weight": ((0.0, 1.0),),
      # of the factors in `labels` while Delta > 0, by Adam in log space
      "named_learning_rate": 1e-2,
      "start_encodings": 10_000,  # training points that start the mixture
      "log_every": 100,
      "evaluate_every": 0,  # steps between test evaluations; 0: phase ends
      "checkpoint_every": 10_000,
      "keep_checkpoints": 2,  # the newest, beside the best by the test bound
    },
    type_safe=False,
  ).lock()


def apply_argument(config: ConfigDict, arg: str | None) -> None:
  """What may follow the colon of a config file: 'smoke', or K.

  'smoke' makes an experiment a matter of seconds, to see that it runs; a
  number is the K of every factor that no label names.

  Raises:
    ValueError: anything else.
  """
  if arg == "smoke":
    config.steps = {"pretrain": 4, "prior": 4, "joint": 4}
    config.batch_size = 8
    config.start_encodings = max(k for _, k in config.factors)
    config.log_every = 2
    if config.dataset.resplit:
      config.dataset.resplit = (2 * config.start_encodings, 20)
  elif arg is not None:
    if not arg.isdecimal():
      raise ValueError(
        f"the config's argument must be K or 'smoke', got {arg!r}"
      )
    named = {entry[0] for entry in config.dataset.labels}
    config.factors = tuple(
      (d, k if i in named else int(arg))
      for i, (d, k) in enumerate(config.factors)
    )


def pretraining(config: ConfigDict) -> ConfigDict:
  """The config of a run's first phase alone.

  Equal for runs that share it: whatever concerns the later phases alone is set
  to one value.
  """
  first, plain = config.copy_and_resolve_references(), default()
  first.factors = ((config.latent_dim, 1),)
  first.steps.update(prior=0, joint=0)
  first.dataset.update(labels=(), labelled_fraction=1.0)
  first.learning_rate_decay = "none"
  for field in (
    "hyperprior",
    "svi",
    "delta",
    "kl_z_weight",
    "named_learning_rate",
    "start_encodings",
  ):
    first[field] = plain[field]
  return first


def validate(config: ConfigDict) -> None:
  """Raises ValueError, naming the field, for a config that cannot run."""
  _check_fields(config.to_dict(), default().to_dict(), "config")
  _check_positive(config)
  factors = config.factors
  is_pairs = isinstance(factors, tuple | list) and all(
    isinstance(f, tuple | list)
    and len(f) == 2
    and all(isinstance(n, int) for n in f)
    for f in factors
  )
  if not is_pairs or not factors:
    raise ValueError(
      "config.factors must be a tuple of (D, K) pairs of integers, such as "
      f"((64, 128),), got {factors!r}"
    )
  for i, (d, k) in enumerate(factors):
    if d < 1 or k < 1:
      raise ValueError(
        f"config.factors[{i}] = (D, K) must be at least (1, 1), got {(d, k)}"
      )
    if k > config.start_encodings:
      raise ValueError(
        f"config.start_encodings must be at least K = {k} of "
        f"config.factors[{i}], got {config.start_encodings}"
      )
  total = sum(d for d, _ in factors)
  if total != config.latent_dim:
    raise ValueError(
      f"config.factors have D that sum to {total}, which must equal "
      f"config.latent_dim = {config.latent_dim}"
    )
  _check_dataset(config)
  _named("config.hyperprior", lambda: prior.Hyperprior(**config.hyperprior))
  _named("config.svi", lambda: prior.robbins_monro(**config.svi))


def _named(field: str, build: Any) -> None:
  try:
    build()
  except (TypeError, ValueError) as error:
    raise ValueError(f"{field}: {error}") from error


def _check_fields(given: dict, known: dict, path: str) -> None:
  if path == "config.network":
    return  # its options belong to the network, which checks them
  for name in given:
    if name not in known:
      raise ValueError(
        f"{path}.{name} is not a field; {path} has {sorted(known)}"
      )
  for name, value in known.items():
    if name not in given:
      raise ValueError(f"{path}.{name} is missing")
    if isinstance(value, dict):
      if not isinstance(given[name], dict):
        raise ValueError(f"{path}.{name} must have fields {sorted(value)}")
      _check_fields(given[name], value, f"{path}.{name}")


def _check_positive(config: ConfigDict) -> None:
  def number(field, value, least, kinds):
    if not isinstance(value, kinds) or isinstance(value, bool) or value < least:
      kind = "an integer" if kinds is int else "a number"
      raise ValueError(
        f"config.{field} must be {kind} of at least {least}, got {value!r}"
      )

  for field in (
    "latent_dim",
    "batch_size",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "start_encodings",
  ):
    number(field, config[field], 1, int)
  for field in ("seed", "evaluate_every", "kl_anneal_steps"):
    number(field, config[field], 0, int)
  for phase, steps in config.steps.items():
    number(f"steps.{phase}", steps, 0, int)
  if sum(config.steps.values()) == 0:
    raise ValueError("config.steps must hold a step in some phase, got none")
  for field in ("learning_rate", "named_learning_rate"):
    number(field, config[field], 0.0, int | float)
  for field in ("delta", "kl_z_weight"):
    _check_schedule(field, config[field])
  if config.learning_rate_decay not in ("none", "cosine"):
    raise ValueError(
      "config.learning_rate_decay must be 'none' or 'cosine', got "
      f"{config.learning_rate_decay!r}"
    )


def _check_dataset(config: ConfigDict) -> None:
  dataset = config.dataset
  known = ("static", "dynamic", "threshold", "none")
  if dataset.binarisation not in known:
    raise ValueError(
      f"config.dataset.binarisation must be one of {known}, got "
      f"{dataset.binarisation!r}"
    )
  if (config.likelihood == "bernoulli") == (dataset.binarisation == "none"):
    raise ValueError(
      "config.likelihood = 'bernoulli' goes with a config.dataset.binarisation "
      "other than 'none', and 'gaussian' with 'none'; got "
      f"{config.likelihood!r} with {dataset.binarisation!r}"
    )
  resplit = dataset.resplit
  if not isinstance(resplit, tuple | list) or (
    resplit
    and not (len(resplit) == 2 and all(isinstance(n, int) for n in resplit))
  ):
    raise ValueError(
      "config.dataset.resplit must be () or two sizes, (train, test), got "
      f"{resplit!r}"
    )
  if not isinstance(dataset.in_memory, bool):
    raise ValueError(
      f"config.dataset.in_memory must be True or False, got "
      f"{dataset.in_memory!r}"
    )
  if not dataset.in_memory and (
    resplit or dataset.binarisation not in ("dynamic", "none")
  ):
    raise ValueError(
      "config.dataset.in_memory = False goes with config.dataset.binarisation "
      "'dynamic' or 'none' and with the official split, since all images would "
      f"be needed at once; got {dataset.binarisation!r}, resplit {resplit!r}"
    )
  _check_labels(config)


def _check_labels(config: ConfigDict) -> None:
  labels, fraction = config.dataset.labels, config.dataset.labelled_fraction
  for entry in labels:
    if (
      not isinstance(entry, tuple | list)
      or len(entry) not in (2, 3)
      or not all(isinstance(values, tuple | list) for values in entry[2:])
    ):
      raise ValueError(
        "config.dataset.labels must hold (factor, feature) or (factor, feature,"
        f" values), got {entry!r}"
      )
    if entry[0] not in range(len(config.factors)):
      raise ValueError(
        f"config.dataset.labels names factor {entry[0]!r}, which does not "
        f"exist: config.factors has {len(config.factors)}, counted from 0"
      )
  for part, what in ((0, "factor"), (1, "feature")):
    given = [entry[part] for entry in labels]
    if len(set(given)) < len(given):
      raise ValueError(
        f"config.dataset.labels must name each {what} once, got {given}"
      )
  fractions = fraction if isinstance(fraction, tuple | list) else (fraction,)
  if not all(isinstance(f, int | float) and 0 <= f <= 1 for f in fractions) or (
    fractions is fraction and len(fraction) != len(labels)
  ):
    raise ValueError(
      "config.dataset.labelled_fraction must be in [0, 1], one number or one "
      f"for each of {len(labels)} labels, got {fraction!r}"
    )


def _check_schedule(field: str, points: Any) -> None:
  """Points (fraction, value), fractions from 0 to 1 and not falling."""
  if not (
    isinstance(points, tuple | list)
    and points
    and all(
      isinstance(p, tuple | list)
      and len(p) == 2
      and all(isinstance(x, int | float) for x in p)
      and 0 <= p[0] <= 1
      and p[1] >= 0
      for p in points
    )
    and all(p[0] <= q[0] for p, q in itertools.pairwise(points))
  ):
    raise ValueError(
      f"config.{field} must hold points (fraction of the joint phase, value at "
      f"least 0), such as ((0, 1000), (0.5, 0)), got {points!r}"
    )
