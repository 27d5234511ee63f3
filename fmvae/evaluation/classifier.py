"""A classifier that looks at generated pictures in place of people (Table 1).

It is trained apart, on the real training images with all that is known of them.
It sees nothing of the model whose pictures it classifies, and it is tested on
real test images first: what it says of generated pictures is worth no more than
that.
"""

import dataclasses
import functools
from collections.abc import Sequence
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
from fmvae.evaluation.confusion import ConfusionMatrix, confusion_matrix
from fmvae.model import Model, Property, TrainState
from fmvae.model.model import slices

_BATCH_SIZE = 64
_LEARNING_RATE = 1e-3
_CLASSIFIED_AT_ONCE = 500
_SEED = 3
_SHORT = 0.05  # of an accuracy


class Network(nn.Module):
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
class Classifier:
  """A trained classifier of properties and how it did on real test images."""

  network: Network
  params: Any
  tested: tuple[ConfusionMatrix, ...]

  def __call__(self, images: ArrayLike) -> np.ndarray:
    """The component that each property of an image looks like, int `[N, P]`.

    Args:
      images: float `[N, H, W, C]` as the encoder takes them.
    """
    return np.asarray(_classify(self.network, self.params, images))


@functools.partial(jax.jit, static_argnums=0)
def _classify(network: Network, params: Any, x: ArrayLike) -> Array:
  logits: Any = network.apply({"params": params}, x)
  return jnp.stack([jnp.argmax(one, -1) for one in logits], -1)


def train_classifier(
  model: Model, train: data.Split, test: data.Split, num_steps: int
) -> Classifier:
  """Trains a classifier of the properties that name factors.

  Every second image is blurred, as the means of p(x|z) are softer than real
  images. Values count alike, however rare they are: the cross entropy is
  weighted by their inverse frequency.

  Args:
    model: whose properties and preprocessing are taken, nothing else.
    train: real images; their features are all used, whatever labels are left to
      the model.
    test: real images to test the classifier on.
    num_steps: of Adam on batches of 64.

  Raises:
    ValueError: no property names a factor.
  """
  model.require_named("a classifier needs")
  properties = model.properties
  network = Network(tuple(len(p.names) for p in properties))
  params = _fit(model, train, network, num_steps)
  keys = jax.random.split(jax.random.key(_SEED), len(test))
  to_input = jax.jit(jax.vmap(model.preprocessing.input(training=False)))
  seen = [
    _classify(network, params, to_input(keys[rows], test.images[rows]))
    for rows in slices(len(test), _CLASSIFIED_AT_ONCE)
  ]
  tested = _matrices(
    properties, _truth(properties, test.features), np.concatenate(seen)
  )
  return Classifier(network, params, tested)


def _fit(
  model: Model, train: data.Split, network: Network, num_steps: int
) -> Any:
  """The classifier's parameters after training on the real images."""
  images = train.images
  truth = _truth(model.properties, train.features)
  to_input = model.preprocessing.input(training=True)
  weights = []  # of each value
  for column, num in zip(truth.T, network.num_values, strict=True):
    counts = np.bincount(column[column >= 0], minlength=num)
    weight = counts.sum() / (num * np.maximum(counts, 1))
    weights.append(jnp.asarray(weight, jnp.float32))
  optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, num_steps))

  def cost(params, x, labels):
    logits: Any = network.apply({"params": params}, x)
    costs = []
    for one, weight, label in zip(logits, weights, labels.T, strict=True):
      known, label = label >= 0, jnp.maximum(label, 0)
      each = optax.softmax_cross_entropy_with_integer_labels(one, label)
      costs.append(jnp.mean(jnp.where(known, weight[label] * each, 0)))
    return sum(costs)

  @jax.jit
  def step(params, opt_state, key, images, labels):
    input_keys, blur_keys = jax.random.split(key, (2, len(images)))
    x = jax.vmap(to_input)(input_keys, images)
    grads = jax.grad(cost)(params, jax.vmap(data.blur)(blur_keys, x), labels)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state

  init_key, step_key = jax.random.split(jax.random.key(_SEED))
  x = jnp.zeros((1, *images.shape[1:]))
  params = jax.jit(network.init)(init_key, x)["params"]
  opt_state = optimizer.init(params)
  size = min(_BATCH_SIZE, len(images))
  for i in tqdm(range(num_steps), desc="training the classifier", disable=None):
    rows = data.batch_indices(_SEED, i, num_data=len(images), batch_size=size)
    key = jax.random.fold_in(step_key, i)
    params, opt_state = step(params, opt_state, key, images[rows], truth[rows])
  return params


def generate(
  model: Model, state: TrainState, key: Array, num: int
) -> tuple[np.ndarray, np.ndarray]:
  """Pictures whose named components are drawn uniformly (Sec. 4.2, Table 1).

  The components of the other factors are drawn from q(pi), z from eq. 10.

  Args:
    model: what was trained.
    state: its state, on one device.
    key: a PRNG key.
    num: of pictures.

  Returns:
    Means of p(x|z), float `[num, H, W, C]` in the range of real images, and the
    components intended for each property, int `[num, P]`.
  """
  intended_key, picture_key = jax.random.split(key)
  properties = model.properties
  highest = np.array([len(p.names) for p in properties])
  intended = np.asarray(
    jax.random.randint(intended_key, (num, len(properties)), 0, highest[None])
  )
  components = np.full((num, len(model.prior.factors)), -1)
  components[:, [p.factor for p in properties]] = intended
  parts = [
    model.draw(
      state, jax.random.fold_in(picture_key, rows.start), components[rows]
    )
    for rows in slices(num, _CLASSIFIED_AT_ONCE)
  ]
  return np.concatenate(parts), intended


def classify_generated(
  model: Model, state: TrainState, classifier: Classifier, num: int
) -> tuple[ConfusionMatrix, ...]:
  """What a classifier sees in `generate`d pictures: Table 1 without people."""
  images, intended = generate(model, state, jax.random.key(_SEED), num)
  seen = [classifier(images[rows]) for rows in slices(num, _CLASSIFIED_AT_ONCE)]
  return _matrices(model.properties, intended, np.concatenate(seen))


def disobeys(
  generated: Sequence[ConfusionMatrix], tested: Sequence[ConfusionMatrix]
) -> bool:
  """Whether what was asked for is seen less often than what is on real images.

  By five points of a hundred or more, for some property.
  """
  pairs = zip(generated, tested, strict=True)
  return any(g.accuracy <= t.accuracy - _SHORT for g, t in pairs)


@dataclasses.dataclass(frozen=True)
class SwapScore:
  """What a picture shows that has the unnamed z_i of another image."""

  feature: str
  own: float  # share of the pictures that show the value of their own image
  leak: float  # where the two images differ, the share with the other's value
  num_different: int  # of pictures whose two images differ

  def __str__(self) -> str:
    return (
      f"{self.feature}: {100 * self.own:.1f} % show their own value, "
      f"{100 * self.leak:.1f} % that of the other image (the leak)"
    )


def classify_swapped(
  model: Model,
  state: TrainState,
  classifier: Classifier,
  test: data.Split,
  num: int,
) -> tuple[SwapScore, ...]:
  """The swap test: z_i of the unnamed factors taken from another image.

  Both z are means of q(z|x). A model whose unnamed factors hold nothing of a
  named property shows the own value each time and leaks nothing.

  Args:
    model: what was trained.
    state: its state, on one device.
    classifier: of its properties, trained apart.
    test: real images; those count whose named properties are all known.
    num: of pictures, made of pairs of images drawn at random.

  Raises:
    ValueError: every factor has a name, so that there is nothing to exchange,
      or no image counts.
  """
  truth = _truth(model.properties, test.features)
  known = np.flatnonzero(np.all(truth >= 0, 1))
  if not model.unnamed or not len(known):
    raise ValueError(
      "the swap test needs a factor without a name, and test images whose "
      "named properties are all known"
    )
  pairs_key, key = jax.random.split(jax.random.key(_SEED))
  first, second = known[
    np.asarray(jax.random.randint(pairs_key, (2, num), 0, len(known)))
  ]
  loc = np.asarray(model.encode(state, test.images, key, training=False)[0])
  dims = [d for d, _ in model.prior.factors]
  moved = np.repeat(np.isin(np.arange(len(dims)), model.unnamed), dims)
  z = np.where(moved[None], loc[second], loc[first])
  seen = np.concatenate(
    [
      classifier(model.render(state, z[rows]))
      for rows in slices(num, _CLASSIFIED_AT_ONCE)
    ]
  )
  scores = []
  for i, p in enumerate(model.properties):
    own, other = truth[first, i], truth[second, i]
    differ = own != other
    leaks = seen[differ, i] == other[differ]
    scores.append(
      SwapScore(
        feature=p.feature,
        own=float(np.mean(seen[:, i] == own)),
        leak=float(np.sum(leaks) / max(len(leaks), 1)),
        num_different=len(leaks),
      )
    )
  return tuple(scores)


def _truth(
  properties: tuple[Property, ...], features: dict[str, np.ndarray]
) -> np.ndarray:
  """The true component of each property, int `[N, P]`."""
  return np.stack([p.component_of(features[p.feature]) for p in properties], -1)


def _matrices(
  properties: tuple[Property, ...], truth: np.ndarray, seen: np.ndarray
) -> tuple[ConfusionMatrix, ...]:
  return tuple(
    confusion_matrix(p.feature, p.names, truth[:, i], seen[:, i], len(p.names))
    for i, p in enumerate(properties)
  )
