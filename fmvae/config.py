"""The configuration of an experiment: its fields, defaults and checks."""

import functools
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict, FieldReference

from fmvae import fields as fields_lib
from fmvae import likelihoods, networks, prior
from fmvae.data import Fit, Preprocessing
from fmvae.model import phases, priors
from fmvae.model.priors import Prior

AUTO = networks.AUTO  # what fits the data, of a field that has such a choice
_TOGETHER = ("factorial_mixture", "standard_normal")  # priors, see `shared`
_MOST_STEPS = 2**31 - 1  # of a counter of 32 bits
_MOST_SHIFT = 1024  # pixels
_MOST_SHOWN = 200  # characters of a wrong value


def default() -> ConfigDict:
  """Every field that a config has, as `fmvae.fields` lists them.

  Files in `experiments/` start from this and change what they need; a field
  that is not listed there is an error.
  """

  def values(tree: dict[str, Any]) -> dict[str, Any]:
    return {
      name: values(of) if isinstance(of, dict) else _default_of(of)
      for name, of in tree.items()
    }

  return ConfigDict(values(fields_lib.FIELDS), type_safe=False).lock()


def _default_of(field: fields_lib.Field) -> Any:
  if field.any_kind:
    return FieldReference(field.default, field_type=object)
  return field.default


def parse_argument(arg: str | None, **types: type) -> dict[str, Any]:
  """Reads what follows the colon of a config file, as in `:k=128,smoke`.

  Args:
    arg: what follows it; names with values, separated by commas. The value of
      a bool may be left out for True.
    **types: bool, int, float or str of every name that the file knows.

  Returns:
    The values that were given, by name.

  Raises:
    ValueError: a name that the file does not know, or a value of another type.
  """
  found: dict[str, Any] = {}
  for part in filter(None, (arg or "").split(",")):
    name, equals, text = part.partition("=")
    kind = types.get(name)
    read = {"True": True, "False": False}.get if kind is bool else kind
    try:
      value = True if kind is bool and not equals else read(text)  # type: ignore[misc]
    except (TypeError, ValueError):
      value = None
    if value is None:
      known = ", ".join(f"{n} ({t.__name__})" for n, t in types.items())
      raise ValueError(
        f"the config's argument must be name=value with names of {known}, got "
        f"{part!r}"
      )
    found[name] = value
  return found


def adapt(
  config: ConfigDict, *, smoke: bool = False, k: int | None = None
) -> None:
  """What every config file does with its argument.

  Args:
    config: changed in place.
    smoke: makes an experiment a matter of seconds, to see that it runs.
    k: the number of components of every factor that no label names.
  """
  if k is not None:
    named = {entry[0] for entry in config.dataset.labels}
    config.factors = tuple(
      (d, of_factor if i in named else k)
      for i, (d, of_factor) in enumerate(config.factors)
    )
  if smoke:
    config.steps = {"pretrain": 4, "prior": 4, "joint": 4}
    if not make_prior(config).updates:
      config.steps = {"pretrain": 0, "prior": 0, "joint": 12}
    config.batch_size = 8
    config.init_encodings = max(of_factor for _, of_factor in config.factors)
    config.log_every = 2
    if not config.patience:
      config.evaluate_every = None  # scoring takes longer than these steps
    held = config.dataset.validation = min(config.dataset.validation, 20)
    if config.dataset.resplit:
      config.dataset.resplit = (2 * config.init_encodings + held, 20)


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
    "prior",
    "hyperprior",
    "svi",
    "encode_again",
    "delta",
    "kl_z_weight",
    "draw_named",
    "independence",
    "obedience",
    "named_learning_rate",
    "init_encodings",
    "patience",
  ):
    first[field] = plain[field]
  return first


def shared(config: ConfigDict) -> ConfigDict:
  """A config without its seed and its K, in which runs trained together agree.

  Raises:
    ValueError: such a run is trained by itself; names the field.
  """
  for field, value, fits in (
    ("dataset.labels", config.dataset.labels, not config.dataset.labels),
    ("patience", config.patience, not config.patience),
    ("independence", config.independence, not config.independence),
    ("prior", config.prior, config.prior in _TOGETHER),
  ):
    if not fits:
      raise ValueError(
        f"config.{field} = {_shown(value)}: such a run is trained by itself"
      )
  out = config.copy_and_resolve_references()
  out.seed, out.factors = 0, tuple((d, 1) for d, _ in config.factors)
  return out


def validate(config: ConfigDict) -> None:
  """Raises ValueError, naming the field, for a config that cannot run.

  Each part checks its own fields when it is made; here are the kinds of value
  that the fields take, those that no part has, and the rules between fields.
  """
  _check_fields(config.to_dict(), default().to_dict(), "config")
  _check_numbers(config)
  _check_factors(config)
  _check_labels(config)
  _check_dataset(config)
  options = config.network.to_dict()
  named("config.", lambda: networks.check(options.pop("name"), options))
  if config.likelihood != AUTO:
    named("config.", lambda: likelihoods.get(config.likelihood))
  named("config.", lambda: make_prior(config))
  named("config.svi.", lambda: prior.robbins_monro(**config.svi))
  for field in ("delta", "kl_z_weight"):
    as_points = functools.partial(phases.as_points, config[field])
    named(f"config.{field}: ", as_points)
  if config.learning_rate_decay not in ("none", "cosine"):
    raise ValueError(
      "config.learning_rate_decay must be 'none' or 'cosine', got "
      f"{_shown(config.learning_rate_decay)}"
    )
  if AUTO not in (config.likelihood, config.dataset.binarisation) and (
    likelihoods.get(config.likelihood).binary
    == (config.dataset.binarisation == "none")
  ):
    raise ValueError(
      "config.likelihood must be one for zeros and ones unless "
      "config.dataset.binarisation is 'none', got "
      f"{config.likelihood!r} with {config.dataset.binarisation!r}"
    )
  its_prior = make_prior(config)
  if config.dataset.labels and not its_prior.factors:
    raise ValueError(
      "config.dataset.labels must be () for a prior without components, got "
      f"{_shown(config.dataset.labels)} with config.prior = {config.prior!r}"
    )
  if config.dataset.labels and not its_prior.updates:
    raise ValueError(
      "config.dataset.labels must be () for a prior whose components the "
      f"optimiser trains, got {_shown(config.dataset.labels)} with "
      f"config.prior = {config.prior!r}"
    )
  labels = (config.dataset.labels, "factors in config.dataset.labels")
  for field, fits, needs in (
    ("draw_named", *labels),
    ("obedience", *labels),
    (
      "independence",
      its_prior.updates and len(its_prior.factors) > 1,
      "two factors or more of a prior that eq. 14 updates",
    ),
  ):
    if config[field] and not fits:
      raise ValueError(
        f"config.{field} must be 0 unless there are {needs}, got "
        f"{config[field]}"
      )
  if config.prior == "vamp" and not (
    config.likelihood == AUTO or likelihoods.get(config.likelihood).binary
  ):
    raise ValueError(
      "config.prior = 'vamp' needs images of zeros and ones, got "
      f"config.likelihood = {config.likelihood!r}"
    )
  if config.steps.prior and not its_prior.updates:
    raise ValueError(
      "config.steps.prior must be 0 for a prior without a closed-form update, "
      f"got {config.steps.prior} with config.prior = {config.prior!r}"
    )


def check_chosen(config: ConfigDict) -> None:
  """Raises ValueError for a valid config which leaves a choice to the data."""
  fields = {
    "network.name": config.network.name,
    "likelihood": config.likelihood,
    "dataset.binarisation": config.dataset.binarisation,
  }
  for field, value in fields.items():
    if value == AUTO:
      raise ValueError(
        f"config.{field} must say which here, got 'auto': launch.train prints "
        "what fits the data"
      )
  if not all(k for _, k in config.factors):
    raise ValueError(
      "config.factors must have K of 1 or more here, got "
      f"{_shown(config.factors)}: 0 is for launch.train"
    )


def make_prior(config: ConfigDict, image_shape: tuple[int, ...] = ()) -> Prior:
  """The prior that the config asks for, with one component for K = 0."""
  return priors.make(
    config.prior,
    latent_dim=config.latent_dim,
    factors=tuple((d, max(k, 1)) for d, k in config.factors),
    # JAX takes no integer beyond 32 bits.
    hyperprior={k: float(v) for k, v in config.hyperprior.items()},
    image_shape=image_shape,
  )


def make_fit(config: ConfigDict) -> Fit:
  """How the config has pictures cut, coloured and resized."""
  return Fit(config.dataset.size, config.dataset.crop, config.dataset.colour)


def make_preprocessing(config: ConfigDict) -> Preprocessing:
  """The preprocessing of pictures that the config asks for."""
  dataset = config.dataset
  return Preprocessing(
    dataset.binarisation, dataset.threshold, dataset.binarisation_seed
  )


def named(prefix: str, build: Callable[[], Any]) -> Any:
  """What `build` returns; its complaint gets the prefix that names a field."""
  try:
    return build()
  except ValueError as error:
    raise ValueError(f"{prefix}{_cut(str(error), 500)}") from error


def _shown(value: Any) -> str:
  """A wrong value on one line, and not all of one that is long."""
  return _cut(repr(value))


def _cut(text: str, most: int = _MOST_SHOWN) -> str:
  line = " ".join(text.split())
  return line if len(line) <= most else f"{line[:most]} .."


def _check_fields(given: dict, known: dict, path: str) -> None:
  """Every field is there, no other is, and each has its kind of value."""
  if path == "config.network":
    known = {"name": known["name"]}  # its options belong to the network
    given = {name: value for name, value in given.items() if name == "name"}
  for name in given:
    if name not in known:
      raise ValueError(
        f"{path}.{_cut(str(name))} is not a field; {path} has {sorted(known)}"
      )
  for name, value in known.items():
    if name not in given:
      raise ValueError(f"{path}.{name} is missing")
    _check_kind(f"{path}.{name}", given[name], value)
    if isinstance(value, dict):
      _check_fields(given[name], value, f"{path}.{name}")


def _check_kind(field: str, value: Any, default_value: Any) -> None:
  """The kind of a value is that of the default.

  Integers and tuples are left to the checks of each field.
  """
  if value is None and field in (
    "config.svi.initial",
    "config.dataset.size",
    "config.dataset.validation_seed",
  ):
    return
  if field == "config.dataset.labelled_fraction" and _is_tuple(value):
    return
  right, what = True, ""
  if isinstance(default_value, dict):
    right = isinstance(value, dict)
    what = f"have fields {sorted(default_value)}"
  elif isinstance(default_value, bool):
    right, what = isinstance(value, bool), "be True or False"
  elif isinstance(default_value, str):
    right, what = isinstance(value, str), "be a name"
  elif isinstance(default_value, float):
    right, what = phases.is_number(value), "be a finite number"
  if not right:
    raise ValueError(f"{field} must {what}, got {_shown(value)}")


def _is_tuple(value: Any) -> bool:
  return isinstance(value, tuple | list)  # which is what JSON has


def _is_integer(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _check_numbers(config: ConfigDict) -> None:
  for field in (
    "latent_dim",
    "batch_size",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "init_encodings",
  ):
    _check_integer(field, config[field], 1, _MOST_STEPS)
  for field in ("evaluate_every", "kl_anneal_steps", "patience"):
    if config[field] is not None or field != "evaluate_every":
      _check_integer(field, config[field], 0, _MOST_STEPS)
  _check_integer("seed", config.seed, 0, 2**32 - 1)  # of a JAX key
  for field in ("split_seed", "binarisation_seed", "validation_seed"):
    if config.dataset[field] is not None or field != "validation_seed":
      _check_integer(f"dataset.{field}", config.dataset[field], 0, 2**64 - 1)
  shifts, held = config.dataset.shifts, config.dataset.validation
  _check_integer("dataset.shifts", shifts, 0, _MOST_SHIFT)
  _check_integer("dataset.validation", held, 0, _MOST_STEPS)
  if config.patience and not (held and config.evaluate_every):
    raise ValueError(
      "config.patience must be 0 unless config.dataset.validation and "
      "config.evaluate_every are above 0, got "
      f"{config.patience} with {held} and {config.evaluate_every}"
    )
  for phase, steps in config.steps.items():
    _check_integer(f"steps.{phase}", steps, 0, _MOST_STEPS)
  total = sum(config.steps.values())
  if not 1 <= total <= _MOST_STEPS:
    raise ValueError(
      f"config.steps must be 1 to {_MOST_STEPS} steps in all, got {total}"
    )
  if not 0 <= config.draw_named <= 1:
    raise ValueError(
      f"config.draw_named must be in [0, 1], got {config.draw_named}"
    )
  for field in (
    "learning_rate",
    "named_learning_rate",
    "independence",
    "obedience",
  ):
    if config[field] < 0:
      raise ValueError(
        f"config.{field} must be a finite number of at least 0, got "
        f"{config[field]}"
      )


def _check_integer(field: str, value: Any, least: int, most: int) -> None:
  if not _is_integer(value) or not least <= value <= most:
    raise ValueError(
      f"config.{field} must be an integer from {least} to {most}, got "
      f"{_shown(value)}"
    )


def _labelled(config: ConfigDict) -> set[Any]:
  """The factors that `config.dataset.labels` names, as far as it is valid."""
  labels = config.dataset.labels
  entries = labels if _is_tuple(labels) else ()
  return {e[0] for e in entries if _is_tuple(e) and e and _is_integer(e[0])}


def _check_factors(config: ConfigDict) -> None:
  factors = config.factors
  is_pairs = _is_tuple(factors) and all(
    _is_tuple(f) and len(f) == 2 and all(map(_is_integer, f)) for f in factors
  )
  if not is_pairs or not factors:
    raise ValueError(
      "config.factors must be a tuple of (D, K) pairs of integers, such as "
      f"((64, 128),), got {_shown(factors)}"
    )
  for i, (d, k) in enumerate(factors):
    by_values = k == 0 and i in _labelled(config)
    if d < 1 or (k < 1 and not by_values):
      raise ValueError(
        f"config.factors[{i}] = (D, K) must be at least (1, 1), got {(d, k)}"
      )
    if k > config.init_encodings:
      raise ValueError(
        f"config.init_encodings must be at least K = {k} of "
        f"config.factors[{i}], got {config.init_encodings}"
      )
  total = sum(d for d, _ in factors)
  if total != config.latent_dim:
    raise ValueError(
      "config.factors must have D that sum to config.latent_dim = "
      f"{config.latent_dim}, got a sum of {total}"
    )


def _check_dataset(config: ConfigDict) -> None:
  dataset = config.dataset
  if not dataset.name.strip() or not dataset.name.isprintable():
    raise ValueError(
      "config.dataset.name must be the name of a data set or a path, got "
      f"{_shown(dataset.name)}"
    )
  named("config.dataset.", lambda: make_fit(config))
  if not 0 < dataset.test_fraction < 1:
    raise ValueError(
      "config.dataset.test_fraction must be above 0 and below 1, got "
      f"{dataset.test_fraction}"
    )
  if dataset.binarisation != AUTO:
    named("config.dataset.", lambda: make_preprocessing(config))
  resplit = dataset.resplit
  if not _is_tuple(resplit) or (
    len(resplit) > 0
    and not (
      len(resplit) == 2
      and all(_is_integer(n) and 1 <= n <= _MOST_STEPS for n in resplit)
    )
  ):
    raise ValueError(
      "config.dataset.resplit must be () or two sizes, (train, test), got "
      f"{_shown(resplit)}"
    )
  if not dataset.in_memory and (
    resplit or dataset.binarisation not in ("dynamic", "none", AUTO)
  ):
    raise ValueError(
      "config.dataset.in_memory must be True unless "
      "config.dataset.binarisation is 'dynamic' or 'none' and the split the "
      "official one, since all images would be needed at once; got "
      f"{dataset.binarisation!r}, resplit {resplit!r}"
    )


def _check_labels(config: ConfigDict) -> None:
  labels, fraction = config.dataset.labels, config.dataset.labelled_fraction
  if not _is_tuple(labels):
    raise ValueError(
      f"config.dataset.labels must be a tuple, got {_shown(labels)}"
    )
  for entry in labels:
    if not (
      _is_tuple(entry)
      and len(entry) in (2, 3)
      and _is_integer(entry[0])
      and isinstance(entry[1], str)
      and all(
        _is_tuple(values) and values and all(map(_is_integer, values))
        for values in entry[2:]
      )
    ):
      raise ValueError(
        "config.dataset.labels must hold (factor, feature) or (factor, feature,"
        " values): a number, a name and at least one number, such as ((0, "
        f"'label', (3, 5)),), got {_shown(entry)}"
      )
    if entry[0] not in range(len(config.factors)):
      raise ValueError(
        f"config.dataset.labels names factor {entry[0]}, which does not "
        f"exist: config.factors has {len(config.factors)}, counted from 0"
      )
  for part, what in ((0, "factor"), (1, "feature")):
    given = [entry[part] for entry in labels]
    if len(set(given)) < len(given):
      raise ValueError(
        f"config.dataset.labels must name each {what} once, got {_shown(given)}"
      )
  fractions = fraction if _is_tuple(fraction) else (fraction,)
  if not all(phases.is_number(f) and 0 <= f <= 1 for f in fractions) or (
    fractions is fraction and len(fraction) != len(labels)
  ):
    raise ValueError(
      "config.dataset.labelled_fraction must be in [0, 1], one number or one "
      f"for each of {len(labels)} labels, got {_shown(fraction)}"
    )
