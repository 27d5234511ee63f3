"""From a config to the objects that train and evaluate it."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from fmvae import config as config_lib
from fmvae import data, likelihoods, networks, prior
from fmvae.objective import Model
from fmvae.training import state as state_lib
from fmvae.training import steps as steps_lib
from fmvae.training.state import Batch, Supervision, TrainState

_START = 2**32 - 1  # folded into the run's key where steps fold their number in
_ENCODE_SIZE = 500


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """One part of a data set."""

  images: data.Images  # uint8 [N, H, W, C], as a step expects them
  labels: np.ndarray  # int32 [N, I], what the model may see, -1 elsewhere
  features: dict[str, np.ndarray]  # every label of the data set, for scoring

  def __len__(self) -> int:
    return len(self.images)

  def batch(self, indices: np.ndarray) -> Batch:
    """The rows at `indices`."""
    return Batch(images=self.images[indices], labels=self.labels[indices])


class Property(NamedTuple):
  """What a factor stands for: an entry of `config.dataset.labels`."""

  factor: int
  feature: str  # of the data set
  values: tuple[int, ...]  # of the feature; component k stands for values[k]
  names: tuple[str, ...]  # of the components 0 to len(values) - 1

  def components(self, features: np.ndarray) -> np.ndarray:
    """The component of each value of the feature, int32 `[N]`, -1 for none."""
    out = np.full(features.shape, -1, np.int32)
    for k, value in enumerate(self.values):
      out[features == value] = k
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
  """What a config describes; hashable, a static argument of compiled code."""

  config: ConfigDict
  properties: tuple[Property, ...]
  model: Model
  optimizer: optax.GradientTransformation
  train: Split
  test: Split
  train_input: Callable[[Array, Array], Array]  # (key, uint8 image) -> float
  test_input: Callable[[Array, Array], Array]

  @property
  def unnamed(self) -> tuple[int, ...]:
    """The factors that stand for no property of the data set."""
    named = {p.factor for p in self.properties}
    return tuple(i for i in range(len(self.config.factors)) if i not in named)

  def require_named(self, what: str) -> None:
    """Raises ValueError, '`what` named factors ..', where there are none."""
    if not self.properties:
      raise ValueError(
        f"{what} named factors, of which the run has none: its "
        "config.dataset.labels is empty"
      )

  @property
  def supervision(self) -> Supervision:
    """How labels bear on the joint phase (eq. 8)."""
    if not self.properties:
      return Supervision()
    rate = self.config.named_learning_rate
    if self.config.learning_rate_decay == "cosine":
      rate = optax.cosine_decay_schedule(rate, max(self.config.steps.joint, 1))
    return Supervision(
      factors=tuple(p.factor for p in self.properties),
      delta=self._over_joint(self.config.delta),
      optimizer=optax.adam(rate),
    )

  def _over_joint(self, points) -> optax.Schedule:
    """By step, straight lines between points (fraction of the phase, value)."""
    start, length = self.phase_ends["prior"], max(self.config.steps.joint, 1)
    fractions, values = jnp.asarray(points, jnp.float32).T
    return lambda step: jnp.interp((step - start) / length, fractions, values)

  @property
  def phase_ends(self) -> dict[str, int]:
    """The step at which each phase ends, in order."""
    ends = np.cumsum([self.config.steps[p] for p in steps_lib.Steps._fields])
    return dict(zip(steps_lib.Steps._fields, map(int, ends), strict=True))

  def phase(self, step: int) -> str:
    """The phase of the step after `step` steps; of the last one at the end."""
    ends = self.phase_ends
    last = max(ends.values())
    return next(p for p, end in ends.items() if min(step + 1, last) <= end)

  def describe_data(self) -> str:
    """How many images there are, and how many of them have labels."""
    lines = [
      f"{self.config.dataset.name}: {len(self.train):,} training and "
      f"{len(self.test):,} test images"
    ]
    for p in self.properties:
      labels = self.train.labels[:, p.factor]
      lines.append(
        f"  factor {p.factor} is {p.feature} ({', '.join(p.names)}), labelled "
        f"on {np.sum(labels >= 0):,} training images"
      )
    return "\n".join(lines)

  def has_mixture(self, state: TrainState) -> bool:
    """Whether the mixture has been started; before, the prior is N(0, I)."""
    return int(state.step) > self.phase_ends["pretrain"]

  def init(self) -> TrainState:
    """The state before the first step."""
    hyperprior = prior.Hyperprior(**self.config.hyperprior)
    make = jax.jit(
      lambda key: state_lib.init(
        key,
        self.model.vae,
        self.optimizer,
        self.config.factors,
        hyperprior,
        self.supervision,
      )
    )
    return make(jax.random.key(self.config.seed))

  def make_steps(self, axis_name: str | None = None) -> steps_lib.Steps:
    """The pure steps of the three phases."""
    anneal = self.config.kl_anneal_steps
    return steps_lib.make_steps(
      self.model,
      self.optimizer,
      self.train_input,
      num_data=len(self.train),
      kl_weight=optax.linear_schedule(0.0 if anneal else 1.0, 1.0, anneal),
      step_size=prior.robbins_monro(**self.config.svi),
      kl_z_weight=self._over_joint(self.config.kl_z_weight),
      supervision=self.supervision,
      axis_name=axis_name,
    )

  def encode(
    self,
    state: TrainState,
    images: data.Images,
    to_input: Callable[[Array, Array], Array],
    key: Array,
  ) -> tuple[Array, Array]:
    """q(z|x) of many images, some at a time: loc and log_var, `[N, L]`.

    Args:
      state: on one device.
      images: uint8 `[N, H, W, C]`.
      to_input: `train_input` or `test_input`.
      key: a PRNG key, split over the images.
    """

    @jax.jit
    def encode_some(params, keys, images):
      return self.model.vae.encode(params, jax.vmap(to_input)(keys, images))

    keys = jax.random.split(key, len(images))
    parts = [
      encode_some(
        state.params, keys[i : i + _ENCODE_SIZE], images[i : i + _ENCODE_SIZE]
      )
      for i in range(0, len(images), _ENCODE_SIZE)
    ]
    loc, log_var = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return loc, log_var

  def render(self, state: TrainState, z: Array) -> Array:
    """Means of p(x|z), `[n, H, W, C]` for z `[n, L]`, clipped to x's range."""
    return _render(self, state, z)

  def to_unit(self, images: ArrayLike) -> np.ndarray:
    """Images in the range of x, clipped and mapped to [0, 1]."""
    low, high = self.model.likelihood.range
    return np.clip((np.asarray(images) - low) / (high - low), 0, 1)

  def draw(self, state: TrainState, key: Array, components: ArrayLike) -> Array:
    """`render` for z of given components (eq. 10), `[n, H, W, C]`.

    Args:
      state: on one device, with a started mixture.
      key: a PRNG key.
      components: int `[n, I]`; -1 draws that factor's component.
    """
    components = jnp.asarray(components)
    z, _ = _sample(key, state.prior, components.shape[:-1], components)
    return self.render(state, z)

  def start_prior(self, state: TrainState) -> TrainState:
    """Starts the mixture at encodings of random training points.

    A function of the state alone: drawn with the run's key, from at most
    `config.start_encodings` points, without labels.
    """
    key, points_key, input_key = jax.random.split(
      jax.random.fold_in(state.key, _START), 3
    )
    total = len(self.train)
    num = min(self.config.start_encodings, total)
    chosen = jax.random.choice(points_key, total, (num,), replace=False)
    images = self.train.images[np.asarray(chosen)]
    loc, log_var = self.encode(state, images, self.train_input, input_key)
    return state.replace(
      prior=prior.init(
        key,
        self.config.factors,
        state.prior.hyperprior,
        loc=loc,
        log_var=log_var,
        num_data=total,
      )
    )


@functools.partial(jax.jit, static_argnums=0)
def _render(experiment: Experiment, state: TrainState, z: Array) -> Array:
  model = experiment.model
  mean = model.likelihood.mean(model.vae.decode(state.params, z))
  return jnp.clip(mean, *model.likelihood.range)


_sample = jax.jit(prior.sample, static_argnums=2)


def build(
  config: ConfigDict,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
) -> Experiment:
  """Checks a config, loads its data and builds its networks.

  Args:
    config: as `fmvae.config.default` describes it.
    data_dir: where prepared data sets are kept, TFDS's default if None.
    manual_dir: where the source files of data sets are.

  Raises:
    ValueError: an impossible config (named by field), or data that is not
      there (`fmvae.data.DataError`).
  """
  config_lib.validate(config)
  dataset = config.dataset
  sets = {
    split: data.load(
      dataset.name,
      split,
      data_dir=data_dir,
      manual_dir=manual_dir,
      in_memory=dataset.in_memory or split == "test",
    )
    for split in ("train", "test")
  }
  if dataset.resplit:
    sets["train"], sets["test"] = data.resplit(
      (sets["train"], sets["test"]), dataset.resplit, dataset.split_seed
    )
  return assemble(config, **sets)


def assemble(
  config: ConfigDict, train: data.ImageSet, test: data.ImageSet
) -> Experiment:
  """`build` for images that are there already.

  Args:
    config: valid.
    train: what to train on.
    test: what to evaluate on.

  Raises:
    ValueError: a config that does not go with the images, named by field.
  """
  dataset = config.dataset
  num_train = len(train.images)
  for i, (_, k) in enumerate(config.factors):
    if k > num_train:
      raise ValueError(
        f"config.factors[{i}] has K = {k} components, more than the "
        f"{num_train} training images of {dataset.name}"
      )
  if config.batch_size > num_train:
    raise ValueError(
      f"config.batch_size = {config.batch_size} is more than the {num_train} "
      f"training images of {dataset.name}"
    )
  properties = tuple(
    _property(config, train, entry) for entry in dataset.labels
  )
  vae = networks.make(
    likelihood=config.likelihood,
    latent_dim=config.latent_dim,
    image_shape=train.images.shape[1:],
    **config.network,
  )
  return Experiment(
    config=config,
    properties=properties,
    model=Model(vae, likelihoods.get(config.likelihood)),
    optimizer=optax.adam(_learning_rate(config)),
    train=_split(config, train, properties, training=True),
    test=_split(config, test, properties, training=False),
    train_input=_input(config, training=True),
    test_input=_input(config, training=False),
  )


def _learning_rate(config: ConfigDict) -> optax.Schedule:
  """By the number of updates of theta and phi, which phase 2 leaves alone."""
  rate, joint = config.learning_rate, config.steps.joint
  constant = optax.constant_schedule(rate)
  if config.learning_rate_decay == "none" or not joint:
    return constant
  decay = optax.cosine_decay_schedule(rate, joint)
  return optax.join_schedules([constant, decay], [config.steps.pretrain])


def _property(
  config: ConfigDict, source: data.ImageSet, entry: Sequence[Any]
) -> Property:
  """Checks an entry of `config.dataset.labels` against the data."""
  factor, feature = entry[:2]
  if feature not in source.labels:
    raise ValueError(
      f"config.dataset.labels names the feature {feature!r}; "
      f"{config.dataset.name} has {sorted(source.labels)}"
    )
  present = np.unique(source.labels[feature])
  present = present[present >= 0]
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
  called = source.values.get(feature)
  names = tuple(called[v] if called else f"{feature} {v}" for v in values)
  return Property(factor, feature, values, names)


def _split(
  config: ConfigDict,
  source: data.ImageSet,
  properties: Sequence[Property],
  training: bool,
) -> Split:
  """Binarises for good what is static and picks the labels the model sees."""
  dataset = config.dataset
  images: Any = source.images  # on disk where they are not made binary here
  kind = dataset.binarisation
  if kind == "threshold":
    images = data.binarisation.threshold(images, dataset.threshold)
  elif kind == "static" or (kind == "dynamic" and not training):
    images = data.binarisation.static(images, dataset.binarisation_seed)
  labels = np.full((len(images), len(config.factors)), -1, np.int32)
  fractions = np.broadcast_to(dataset.labelled_fraction, len(properties))
  pairs = list(zip(properties, fractions, strict=True))
  for p, fraction in pairs if training else ():
    labels[:, p.factor] = data.keep_labels(
      p.components(source.labels[p.feature]), float(fraction), config.seed
    )
  return Split(images, labels, source.labels)


def _input(
  config: ConfigDict, training: bool
) -> Callable[[Array, Array], Array]:
  """How a stored uint8 image becomes the float image that a network sees."""
  kind = config.dataset.binarisation
  if kind == "none":
    return lambda key, image: image.astype(jnp.float32) / 127.5 - 1
  if kind == "dynamic" and training:
    return data.binarisation.dynamic
  return lambda key, image: image.astype(jnp.float32)
