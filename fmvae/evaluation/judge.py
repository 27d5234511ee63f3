"""A classifier that judges generated pictures in place of people (Table 1).

It is trained apart, on the real training images with all their labels, sees
nothing of the model that it judges, and is tested on real test images first:
what it says of generated pictures is worth no more than that.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from jax.typing import ArrayLike
from tqdm import tqdm

from fmvae import data
from fmvae.evaluation.agreement import Agreement, agreement
from fmvae.experiment import Experiment, Property
from fmvae.training.state import TrainState

_BATCH_SIZE = 64
_LEARNING_RATE = 1e-3
_MAX_BLUR = 0.03  # standard deviation of the blur over the side of the image
_SEED = 3


class Classifier(nn.Module):
  """Convolutions of stride 2 down to 4x4 or less, and a head for each property.

  Attributes:
    num_values: classes of each property.
    width: channels of the first convolution; each other has twice as many.
  """

  num_values: tuple[int, ...]
  width: int = 16

  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, ...]:
    """`x` `[..., H, W, C]` -> logits `[..., V]` of each property."""
    features = self.width
    while x.shape[-2] > 4:
      x = nn.relu(nn.Conv(features, (3, 3), 2)(x))
      features *= 2
    x = nn.relu(nn.Dense(128)(x.reshape(*x.shape[:-3], -1)))
    return tuple(nn.Dense(num)(x) for num in self.num_values)


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
  """A trained classifier and how it did on real test images."""

  classifier: Classifier
  params: Any
  tested: tuple[Agreement, ...]

  def __call__(self, images: ArrayLike) -> np.ndarray:
    """The component that each property of an image looks like, int `[N, P]`.

    Args:
      images: float `[N, H, W, C]` as the encoder takes them.
    """
    return np.asarray(_classify(self.classifier, self.params, images))


@functools.partial(jax.jit, static_argnums=0)
def _classify(classifier: Classifier, params: Any, x: ArrayLike) -> Array:
  logits: Any = classifier.apply({"params": params}, x)
  return jnp.stack([jnp.argmax(one, -1) for one in logits], -1)


def train_judge(experiment: Experiment, num_steps: int) -> Judge:
  """Trains a classifier of the properties that name factors.

  Every second image is blurred, as the means of p(x|z) are softer than real
  images, by a Gaussian of up to 3 % of the side. Values count alike, however
  rare they are: the cross entropy is weighted by their inverse frequency.

  Args:
    experiment: whose data sets and properties; its labels are all used,
      whatever `config.dataset.labelled_fraction` leaves to the model.
    num_steps: of Adam on batches of 64.

  Raises:
    ValueError: no property names a factor.
  """
  experiment.require_named("a judge needs")
  properties = experiment.properties
  classifier = Classifier(tuple(len(p.names) for p in properties))
  params = _fit(experiment, classifier, num_steps)
  test = experiment.test
  keys = jax.random.split(jax.random.key(_SEED), len(test))
  to_input = jax.jit(jax.vmap(experiment.test_input))
  judged = [
    _classify(classifier, params, to_input(keys[rows], test.images[rows]))
    for rows in _slices(len(test))
  ]
  tested = _agreements(
    properties, _components(properties, test.features), np.concatenate(judged)
  )
  return Judge(classifier, params, tested)


def _fit(experiment: Experiment, classifier: Classifier, num_steps: int) -> Any:
  """The classifier's parameters after training on the real images."""
  images = experiment.train.images
  truth = _components(experiment.properties, experiment.train.features)
  weights = []  # of each value
  for column, num in zip(truth.T, classifier.num_values, strict=True):
    counts = np.bincount(column[column >= 0], minlength=num)
    weight = counts.sum() / (num * np.maximum(counts, 1))
    weights.append(jnp.asarray(weight, jnp.float32))
  optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, num_steps))

  def cost(params, x, labels):
    logits: Any = classifier.apply({"params": params}, x)
    costs = []
    for one, weight, label in zip(logits, weights, labels.T, strict=True):
      known, label = label >= 0, jnp.maximum(label, 0)
      each = optax.softmax_cross_entropy_with_integer_labels(one, label)
      costs.append(jnp.mean(jnp.where(known, weight[label] * each, 0)))
    return sum(costs)

  @jax.jit
  def step(params, opt_state, key, images, labels):
    input_keys, blur_keys = jax.random.split(key, (2, len(images)))
    x = jax.vmap(experiment.train_input)(input_keys, images)
    grads = jax.grad(cost)(params, jax.vmap(_blur)(blur_keys, x), labels)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state

  init_key, step_key = jax.random.split(jax.random.key(_SEED))
  x = jnp.zeros((1, *images.shape[1:]))
  params = jax.jit(classifier.init)(init_key, x)["params"]
  opt_state = optimizer.init(params)
  size = min(_BATCH_SIZE, len(images))
  for i in tqdm(range(num_steps), desc="training the judge", disable=None):
    rows = data.batch_indices(_SEED, i, num_data=len(images), batch_size=size)
    key = jax.random.fold_in(step_key, i)
    params, opt_state = step(params, opt_state, key, images[rows], truth[rows])
  return params


def generate(
  experiment: Experiment, state: TrainState, key: Array, num: int
) -> tuple[np.ndarray, np.ndarray]:
  """Pictures whose named components are drawn uniformly (Sec. 4.2, Table 1).

  The components of the other factors are drawn from q(pi), z from eq. 10.

  Args:
    experiment: what was trained.
    state: its state, on one device, with a started mixture.
    key: a PRNG key.
    num: of pictures.

  Returns:
    Means of p(x|z), float `[num, H, W, C]` in the range of real images, and the
    components intended for each property, int `[num, P]`.
  """
  intended_key, picture_key = jax.random.split(key)
  properties = experiment.properties
  highest = np.array([len(p.names) for p in properties])
  intended = np.asarray(
    jax.random.randint(intended_key, (num, len(properties)), 0, highest)
  )
  components = np.full((num, len(experiment.config.factors)), -1)
  components[:, [p.factor for p in properties]] = intended
  parts = [
    experiment.draw(
      state, jax.random.fold_in(picture_key, rows.start), components[rows]
    )
    for rows in _slices(num)
  ]
  return np.concatenate(parts), intended


def judge_generated(
  experiment: Experiment, state: TrainState, judge: Judge, num: int
) -> tuple[Agreement, ...]:
  """What a judge makes of `generate`d pictures: Table 1 without ten people."""
  images, intended = generate(experiment, state, jax.random.key(_SEED), num)
  judged = np.concatenate([judge(images[rows]) for rows in _slices(num)])
  return _agreements(experiment.properties, intended, judged)


def _slices(num: int, size: int = 500) -> list[slice]:
  return [slice(start, start + size) for start in range(0, num, size)]


def _components(
  properties: tuple[Property, ...], features: dict[str, np.ndarray]
) -> np.ndarray:
  return np.stack([p.components(features[p.feature]) for p in properties], -1)


def _agreements(
  properties: tuple[Property, ...], truth: np.ndarray, judged: np.ndarray
) -> tuple[Agreement, ...]:
  return tuple(
    agreement(p.feature, p.names, truth[:, i], judged[:, i], len(p.names))
    for i, p in enumerate(properties)
  )


def _blur(key: Array, x: Array) -> Array:
  """Blurs an image `[H, W, C]` by a random width, every second one not."""
  width_key, whether_key = jax.random.split(key)
  for axis in (0, 1):
    side = x.shape[axis]
    std = _MAX_BLUR * side * jax.random.uniform(width_key, minval=0.1)
    offsets = jnp.arange(side)[:, None] - jnp.arange(side)
    taps = jax.nn.softmax(-0.5 * (offsets / std) ** 2, -1)
    taps = jnp.where(jax.random.bernoulli(whether_key), taps, jnp.eye(side))
    x = jnp.moveaxis(jnp.tensordot(taps, x, (1, axis)), 0, axis)
  return x
