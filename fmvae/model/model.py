"""A model as a value: what is fixed about it, apart from every number learnt.

`Model` holds no parameters and no data. It hashes by value, so that it is a
static argument of compiled code: two models built from equal configs share
what was compiled for one of them.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from fmvae.data import Images, Preprocessing
from fmvae.likelihoods import Likelihood
from fmvae.model.priors import Prior, Variables
from fmvae.model.train_state import TrainState
from fmvae.networks import VAE
from fmvae.prior import Usage

_ENCODED_AT_ONCE = 500


@dataclasses.dataclass(frozen=True)
class Property:
  """What a factor stands for: an entry of `config.dataset.labels`."""

  factor: int
  feature: str  # of the data set
  values: tuple[int, ...]  # of the feature; component k stands for values[k]
  names: tuple[str, ...]  # of the components 0 to len(values) - 1

  def component_of(self, feature: np.ndarray) -> np.ndarray:
    """The component that stands for each value, int32 `[N]`, -1 for none."""
    out = np.full(feature.shape, -1, np.int32)
    for k, value in enumerate(self.values):
      out[feature == value] = k
    return out


@dataclasses.dataclass(frozen=True)
class Model:
  """q(z|x), p(x|z), p(z), and what the factors of z stand for.

  Attributes:
    vae: encoder and decoder.
    likelihood: p(x|z), from what the decoder returns.
    prior: p(z), the one in effect (`Phase.prior`).
    preprocessing: from a stored image to what the encoder takes.
    properties: the factors that have a name.
  """

  vae: VAE
  likelihood: Likelihood
  prior: Prior
  preprocessing: Preprocessing
  properties: tuple[Property, ...] = ()

  def replace(self, **changes: Any) -> "Model":
    """A model with other fields."""
    return dataclasses.replace(self, **changes)

  @property
  def unnamed(self) -> tuple[int, ...]:
    """The factors that stand for no property of the data set."""
    named = {p.factor for p in self.properties}
    return tuple(i for i in range(len(self.prior.factors)) if i not in named)

  @property
  def of_pictures(self) -> bool:
    """Whether x is something to look at: no vector, and grey or colour."""
    *sides, channels = self.vae.image_shape
    return tuple(sides) != (1, 1) and channels in (1, 3)

  def require_pictures(self, what: str) -> None:
    """Raises ValueError, '`what` pictures ..', where x is none."""
    if not self.of_pictures:
      shape = self.vae.image_shape
      raise ValueError(
        f"{what} pictures with one or three channels, and the run's data have "
        f"shape {shape if max(shape[:2]) > 1 else shape[2:]}"
      )

  def require_named(self, what: str) -> None:
    """Raises ValueError, '`what` named factors ..', where there are none."""
    if not self.properties:
      raise ValueError(
        f"{what} named factors, of which the run has none: its "
        "config.dataset.labels is empty"
      )

  def variables(self, params: Mapping[str, Any], prior_state: Any) -> Variables:
    """What the prior may look at, given the networks' params and its state."""
    encode = functools.partial(self.vae.encode, params)
    return Variables(params.get("prior"), prior_state, encode)

  def variables_of(self, state: TrainState) -> Variables:
    """`variables` of a state."""
    return self.variables(state.params, state.prior)

  def encode(
    self, state: TrainState, images: Images, key: Array, *, training: bool
  ) -> tuple[Array, Array]:
    """q(z|x) of many images, some at a time: loc and log_var, `[N, L]`.

    Args:
      state: on one device.
      images: uint8 `[N, H, W, C]`, as a split of the data holds them.
      key: a PRNG key, split over the images.
      training: whether they are preprocessed as for training or for testing.
    """
    keys = jax.random.split(key, len(images))
    parts = [
      _encode(self, training, state.params, keys[rows], images[rows])
      for rows in slices(len(images), _ENCODED_AT_ONCE)
    ]
    loc, log_var = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return loc, log_var

  def decode(self, state: TrainState, z: Array) -> Array:
    """What the likelihood reads, `[n, H, W, channels]` for z `[n, L]`."""
    return _decode(self, state.params, z)

  def render(self, state: TrainState, z: Array) -> Array:
    """Means of p(x|z), `[n, H, W, C]` for z `[n, L]`.

    Those of pictures are clipped to x's range.
    """
    return _render(self, state.params, z)

  def sample(
    self,
    state: TrainState,
    key: Array,
    shape: tuple[int, ...] = (),
    components: ArrayLike | None = None,
  ) -> tuple[Array, Array]:
    """Draws z (eq. 10): z `[*shape, L]` and its components, int `[*shape, I]`.

    Args:
      state: on one device.
      key: a PRNG key.
      shape: of the draw.
      components: int, broadcastable to `[*shape, I]`; -1 draws that factor's.
    """
    chosen = None if components is None else jnp.asarray(components)
    return _sample(self, tuple(shape), key, state, chosen)

  def draw(self, state: TrainState, key: Array, components: ArrayLike) -> Array:
    """`render` for z of given components (eq. 10), `[n, H, W, C]`.

    Args:
      state: on one device.
      key: a PRNG key.
      components: int `[n, I]`; -1 draws that factor's component.
    """
    shape = np.shape(components)[:-1]
    z, _ = self.sample(state, key, shape, components)
    return self.render(state, z)

  def usage(self, state: TrainState) -> tuple[Usage, ...]:
    """How the components of each factor are used."""
    return self.prior.usage(self.variables_of(state))

  def to_unit(self, x: ArrayLike) -> np.ndarray:
    """Values in the range of x, clipped and mapped to [0, 1]."""
    low, high = self.likelihood.range
    return np.clip((np.asarray(x) - low) / (high - low), 0, 1)


def slices(num: int, size: int) -> list[slice]:
  """Slices of `size` rows, the last one perhaps shorter, over `num` rows."""
  return [slice(first, first + size) for first in range(0, num, size)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _encode(model: Model, training: bool, params, keys, images):
  to_input = model.preprocessing.input(training)
  return model.vae.encode(params, jax.vmap(to_input)(keys, images))


@functools.partial(jax.jit, static_argnums=0)
def _decode(model: Model, params, z):
  return model.vae.decode(params, z)


@functools.partial(jax.jit, static_argnums=0)
def _render(model: Model, params, z):
  mean = model.likelihood.mean(model.vae.decode(params, z))
  if not model.of_pictures:
    return mean
  return jnp.clip(mean, *model.likelihood.range)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sample(model: Model, shape, key, state, components):
  return model.prior.sample(key, model.variables_of(state), shape, components)
