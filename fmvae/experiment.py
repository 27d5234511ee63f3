"""From a config to the values and the data that a run is made of."""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import data, likelihoods, networks
from fmvae.model import Model, Phase, Property, Supervision, TrainState
from fmvae.model import init as init_model
from fmvae.model import phases as phases_lib
from fmvae.model.priors import Prior, StandardNormal


@dataclasses.dataclass(frozen=True)
class DataSpec:
  """What a model and its phases need to know of their data."""

  image_shape: tuple[int, ...]  # (H, W, C)
  num_train: int  # N
  num_test: int
  properties: tuple[Property, ...]  # that the config's labels name
  # Of vectors, what each feature is reduced by and then divided by, [F].
  loc: tuple[float, ...] = ()
  scale: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
  """What a config describes, once its data are known."""

  config: ConfigDict
  spec: DataSpec
  model: Model  # with the prior of its last phase
  phases: tuple[Phase, ...]  # those that have steps, in order

  def has_seen_all(self, steps: int) -> bool:
    """Whether so many steps take all images, as many as a mixture begins at.

    Those of a smoke run do not, however few images there are.
    """
    num = max(self.spec.num_train, self.config.init_encodings)
    return steps * self.config.batch_size >= num


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment(Design):
  """A design with the data themselves."""

  train: data.Split
  test: data.Split
  validation: data.Split | None = None  # of the training images, held out
  chosen: tuple[str, ...] = ()  # what 'auto' in the config has become


def build(
  config: ConfigDict,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
  load: Callable[..., data.ImageSet] = data.load,
) -> Experiment:
  """Checks a config, loads its data and builds its model.

  Args:
    config: as `fmvae.config.default` describes it.
    data_dir: where prepared data sets are kept, TFDS's default if None.
    manual_dir: where the source files of data sets are.
    load: what reads a split, called as `fmvae.data.load` is.

  Raises:
    ValueError: an impossible config (named by field), or data that is not
      there (`fmvae.data.DataError`).
  """
  config_lib.validate(config)
  sets = load_data(config, data_dir=data_dir, manual_dir=manual_dir, load=load)
  return assemble(config, *sets)


def load_data(
  config: ConfigDict,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
  load: Callable[..., data.ImageSet] = data.load,
) -> list[data.ImageSet]:
  """The training and the test images of a config, as `build` takes them.

  Raises:
    ValueError: as `build`, of the data alone.
  """
  dataset = config.dataset
  sets = [
    load(
      dataset.name,
      split,
      data_dir=data_dir,
      manual_dir=manual_dir,
      in_memory=dataset.in_memory or split == "test",
      fit=config_lib.make_fit(config),
      test_fraction=dataset.test_fraction,
      split_seed=dataset.split_seed,
    )
    for split in ("train", "test")
  ]
  if dataset.resplit:
    sets = config_lib.named(
      "config.dataset.resplit: ",
      lambda: data.resplit(sets, dataset.resplit, dataset.split_seed),
    )
  return sets


def assemble(
  config: ConfigDict, train: data.ImageSet, test: data.ImageSet
) -> Experiment:
  """`build` for images that are there already.

  What 'auto' in the config becomes stands in the config of the result.

  Args:
    config: valid.
    train: what to train on.
    test: what to evaluate on.

  Raises:
    ValueError: a config that does not go with the images, named by field.
  """
  if test.images.shape[1:] != train.images.shape[1:]:
    raise ValueError(
      f"the images of {train.name} must have one shape, got "
      f"{train.images.shape[1:]} for training and {test.images.shape[1:]} for "
      "testing"
    )
  train, validation = _hold_out(config, train)
  config, chosen = _choose(config, train)
  _check_sizes(config, len(train.images))
  _check_kind(config, train)
  properties = tuple(
    _property(config, train, test, entry) for entry in config.dataset.labels
  )
  spec = DataSpec(
    tuple(train.images.shape[1:]),
    len(train.images),
    len(test.images),
    properties,
    *_units(config, train),
  )
  model, phases = _make(config, spec)
  return Experiment(
    config=config,
    spec=spec,
    model=model,
    phases=phases,
    train=_split(config, model, train, training=True),
    test=_split(config, model, test, training=False),
    validation=None
    if validation is None
    else _split(config, model, validation, training=False),
    chosen=chosen,
  )


def _hold_out(
  config: ConfigDict, train: data.ImageSet
) -> tuple[data.ImageSet, data.ImageSet | None]:
  """The images to train on, and those for validation where there are any."""
  held, seed = config.dataset.validation, config.dataset.validation_seed
  if not held:
    return train, None
  num = len(train.images)
  if held >= num:
    raise ValueError(
      f"config.dataset.validation = {held} leaves nothing to train on of the "
      f"{num} training images of {config.dataset.name}"
    )
  return data.set_aside(train, held, seed)


def from_spec(config: ConfigDict, spec: DataSpec) -> Design:
  """What `build` makes of a config, without the data.

  Args:
    config: of the experiment, without 'auto' or K = 0.
    spec: of its data.

  Raises:
    ValueError: an impossible config, or one that does not go with the data.
  """
  config_lib.validate(config)
  config_lib.check_chosen(config)
  _check_sizes(config, spec.num_train)
  factors = config.factors
  labels = [tuple(entry[:2]) for entry in config.dataset.labels]
  if labels != [(p.factor, p.feature) for p in spec.properties] or any(
    len(p.values) > factors[p.factor][1] for p in spec.properties
  ):
    raise ValueError(
      f"config.dataset.labels = {labels} must be what the data are said to "
      f"have, got {spec.properties}"
    )
  return Design(config, spec, *_make(config, spec))


def _make(
  config: ConfigDict, spec: DataSpec
) -> tuple[Model, tuple[Phase, ...]]:
  likelihood = likelihoods.get(config.likelihood)
  config_lib.named(
    "config.", lambda: likelihoods.check(config.likelihood, spec.image_shape)
  )
  preprocessing = config_lib.make_preprocessing(config)
  if spec.loc:
    preprocessing = data.Preprocessing(loc=spec.loc, scale=spec.scale)
  model = Model(
    vae=config_lib.named(
      "config.network: ",
      lambda: networks.make(
        latent_dim=config.latent_dim,
        image_shape=spec.image_shape,
        channels=likelihood.channels(spec.image_shape[-1]),
        of_counts=likelihood.counts,
        **config.network,
      ),
    ),
    likelihood=likelihood,
    prior=config_lib.make_prior(config, spec.image_shape),
    preprocessing=preprocessing,
    properties=spec.properties,
  )
  return model, _phases(config, model.prior, spec)


def _choose(
  config: ConfigDict, train: data.ImageSet
) -> tuple[ConfigDict, tuple[str, ...]]:
  """A config without 'auto' or K = 0, and what they became, in words."""
  config = config.copy_and_resolve_references()
  shape, dataset, auto = train.images.shape[1:], config.dataset, config_lib.AUTO
  chosen = []
  if auto in (config.likelihood, dataset.binarisation):
    if config.likelihood != auto:
      binary = likelihoods.get(config.likelihood).binary
    elif dataset.binarisation != auto:
      binary = dataset.binarisation != "none"
    else:
      binary = not _is_vector(shape) and data.is_nearly_binary(train.images)
    if config.likelihood == auto:
      numbers = "free_gaussian" if _is_vector(shape) else "gaussian"
      config.likelihood = "bernoulli" if binary else numbers
    if dataset.binarisation == auto:
      dataset.binarisation = "dynamic" if binary else "none"
    chosen += [
      f"likelihood {config.likelihood}",
      f"binarisation {dataset.binarisation}",
    ]
  if config.network.name == auto:
    config.network = network = networks.choose(shape)
    options = [f"{k} {v}" for k, v in network.items() if k != "name"]
    chosen.append(" ".join(["network", network["name"], *options]))
  num_values = {
    entry[0]: len(entry[2])
    if len(entry) == 3
    else int(np.max(train.features.get(entry[1], -1), initial=-1)) + 1
    for entry in dataset.labels
  }
  config.factors = tuple(
    (d, k or max(num_values[i], 1)) for i, (d, k) in enumerate(config.factors)
  )
  config_lib.validate(config)
  return config, tuple(chosen)


def _check_kind(config: ConfigDict, train: data.ImageSet) -> None:
  """The likelihood is one for what the data are."""
  likelihood = likelihoods.get(config.likelihood)
  is_vector = _is_vector(train.images.shape[1:])
  for field in ("dataset.flips", "dataset.shifts", "obedience"):
    value = operator.attrgetter(field)(config)
    if value and is_vector:
      raise ValueError(
        f"config.{field} must be {type(value)(0)} for vectors, such as "
        f"{train.name} holds, got {value}"
      )
  if is_vector and likelihood.binary:
    raise ValueError(
      "config.likelihood must be 'free_gaussian', 'negative_binomial' or "
      f"'gaussian' for vectors, such as {train.name} holds, got "
      f"{config.likelihood!r}"
    )
  if likelihood.counts and not (is_vector and data.are_counts(train.images)):
    raise ValueError(
      f"config.likelihood = {config.likelihood!r} needs vectors of counts 0, "
      f"1, 2, .., which {train.name} does not hold"
    )


def _units(
  config: ConfigDict, train: data.ImageSet
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """`DataSpec.loc` and `DataSpec.scale`; counts are left as they are."""
  shape = train.images.shape[1:]
  if not _is_vector(shape):
    return (), ()
  if likelihoods.get(config.likelihood).counts:
    return (0.0,) * shape[-1], (1.0,) * shape[-1]
  made = data.standardised(train.images)
  return made.loc, made.scale


def _is_vector(image_shape: Sequence[int]) -> bool:
  return tuple(image_shape[:2]) == (1, 1)


def init(design: Design) -> TrainState:
  """The state before the first step, by the config's seed."""
  key = jax.random.key(design.config.seed)
  return _init(design.model, design.phases[-1], key)


_init = jax.jit(init_model, static_argnums=(0, 1))


def describe_data(experiment: Experiment) -> str:
  """How many images there are, and how many of them have labels."""
  train, test = experiment.train, experiment.test
  held = experiment.validation
  validation = f" {len(held):,} validation" if held else ""
  lines = [
    f"{experiment.config.dataset.name}: {len(train):,} training"
    f"{validation and ',' + validation} and {len(test):,} test images"
  ]
  for p in experiment.model.properties:
    labels = train.labels[:, p.factor]
    lines.append(
      f"  factor {p.factor} is {p.feature} ({', '.join(p.names)}), labelled "
      f"on {np.sum(labels >= 0):,} training images"
    )
  if experiment.chosen:
    lines.insert(1, f"  chosen to fit: {'; '.join(experiment.chosen)}")
  return "\n".join(lines)


def _check_sizes(config: ConfigDict, num: int) -> None:
  for i, (_, k) in enumerate(config.factors):
    if k > num:
      raise ValueError(
        f"config.factors[{i}] has K = {k} components, more than the "
        f"{num} training images of {config.dataset.name}"
      )
  if config.batch_size > num:
    raise ValueError(
      f"config.batch_size = {config.batch_size} is more than the {num} "
      f"training images of {config.dataset.name}"
    )


def _phases(
  config: ConfigDict, prior: Prior, spec: DataSpec
) -> tuple[Phase, ...]:
  """Pre-training, prior and joint phase (Sec. 2.4), those that have steps."""
  steps, rate = config.steps, float(config.learning_rate)
  svi = {k: v if v is None else float(v) for k, v in config.svi.items()}
  falling = steps.joint if config.learning_rate_decay == "cosine" else 0
  shared = {
    "num_data": spec.num_train,
    "optimizer": phases_lib.adam(rate, steps.pretrain, falling),
    "flips": config.dataset.flips,
    "shifts": config.dataset.shifts,
  }
  pretrain = Phase(
    name="pretrain",
    start=0,
    end=steps.pretrain,
    prior=StandardNormal(config.latent_dim),
    updates_prior=False,
    kl_z_weight=phases_lib.rising(config.kl_anneal_steps),
    **shared,
  )
  shared |= {
    "prior": prior,
    "updates_prior": prior.updates,
    "encodes_again": config.encode_again,
    "step_size": phases_lib.robbins_monro(**svi),
  }
  prior_end = steps.pretrain + steps.prior
  joint_end = prior_end + steps.joint

  def along(points: Any) -> phases_lib.Schedule:
    return phases_lib.along(
      phases_lib.as_points(points), prior_end, steps.joint
    )

  if spec.properties:
    shared["supervision"] = Supervision(
      factors=tuple(p.factor for p in spec.properties),
      delta=along(config.delta),
      optimizer=phases_lib.adam(float(config.named_learning_rate), 0, falling),
    )
  prior_alone = Phase(
    name="prior",
    start=steps.pretrain,
    end=prior_end,
    trains_networks=False,
    init_encodings=config.init_encodings,
    **shared,
  )
  joint = Phase(
    name="joint",
    start=prior_end,
    end=joint_end,
    init_encodings=0 if steps.prior else config.init_encodings,
    kl_z_weight=along(config.kl_z_weight),
    draw_named=float(config.draw_named),
    independence=float(config.independence),
    obedience=float(config.obedience),
    **shared,
  )
  return tuple(p for p in (pretrain, prior_alone, joint) if p.end > p.start)


def _property(
  config: ConfigDict,
  source: data.ImageSet,
  test: data.ImageSet,
  entry: Sequence[Any],
) -> Property:
  """Checks an entry of `config.dataset.labels` against the data."""
  factor, feature = entry[:2]
  if feature not in source.features:
    raise ValueError(
      "config.dataset.labels must name features of "
      f"{config.dataset.name}, {sorted(source.features)}, got {feature[:80]!r}"
    )
  present = np.unique(source.features[feature])
  present = present[present >= 0]
  if not len(present):
    raise ValueError(
      f"config.dataset.labels names {feature}, which must be known of some "
      f"training image of {config.dataset.name}, got none"
    )
  values = tuple(entry[2]) if len(entry) == 3 else tuple(range(present[-1] + 1))
  k = config.factors[factor][1]
  if len(values) > k:
    raise ValueError(
      f"config.dataset.labels: {feature} has {len(values)} values, factor "
      f"{factor} has {k} components"
    )
  missing = [v for v in values if v not in present]
  if missing or len(set(values)) < len(values):
    raise ValueError(
      f"config.dataset.labels: the values of {feature} must be different ones "
      f"of {present.tolist()}, got {values}"
    )
  if not np.isin(test.features.get(feature, ()), values).any():
    raise ValueError(
      f"config.dataset.labels names {feature}, of which the test set of "
      f"{config.dataset.name} must have one of the values {values}, got none"
    )
  called = source.value_names.get(feature)
  names = tuple(called[v] if called else f"{feature} {v}" for v in values)
  return Property(factor, feature, values, names)


def _split(
  config: ConfigDict, model: Model, source: data.ImageSet, training: bool
) -> data.Split:
  """Binarises for good what is static and picks the labels the model sees."""
  images = model.preprocessing.prepare(source.images, training=training)
  labels = np.full((len(images), len(config.factors)), -1, np.int32)
  fractions = np.broadcast_to(
    config.dataset.labelled_fraction, len(model.properties)
  )
  pairs = zip(model.properties, fractions, strict=True)
  for p, fraction in pairs if training else ():
    labels[:, p.factor] = data.keep_labels(
      p.component_of(source.features[p.feature]), float(fraction), config.seed
    )
  return data.Split(images, labels, source.features)
