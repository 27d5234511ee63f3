"""Training for composition: what a component says is seen, whatever the others.

A person composes z from components, and z_i of several images. The objective
of the paper asks nothing of such a z, and what it decodes to suffers in three
ways, the first two of them shortcuts (Szabo et al. 2017, 1711.02245). Each has
its cure here; all are options, without which F is that of the paper.

  A named z_i tells more than its component: where in the component it lies says
  what the decoder needs to know of this one image, and a draw from eq. 10 says
  something else. `draw_named` decodes some images of a batch from such a draw
  in place of their own z_i, as if q(z_i | x, r_i) were p_Q(z_i | r_i).

  Factors tell the same, where p(z) = prod_i p(z_i) has them independent. Draws
  of them then contradict each other, and a named component is overruled by what
  the other z_i tell of it. A network, `Reader`, learns to read each r_j in the
  z_i of the other factors, and the encoder is trained against it until nothing
  is to be read there (as in Ganin et al. 2016, 1505.07818, and Lample et al.
  2017, 1706.00409). Its teacher is q(r|x), so that no labels are needed.

  Components are Gaussians and what they hold is not: some draws fall where no
  image lies, and nothing says what is to be seen there. `obedience` decodes
  what a person might compose and has a network of its own, `Recogniser`, look
  for the named components. It learns to see them in the real images; the
  decoder, and the named components by where they lie, answer for what it sees
  in the pictures.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

from fmvae.data import blur
from fmvae.model.model import Model
from fmvae.networks.convolution import Conv
from fmvae.prior import MeanParams, PriorState
from fmvae.prior.arrays import align
from fmvae.prior.responsibilities import centre
from fmvae.prior.state import split

_UNITS = 128
_WIDTH = 16  # channels of the recogniser's first layer
_TOP = 4  # side of its last one
_NOISE = 0.05  # in units of x, in what it sees
_FARTHEST = 3.0  # standard deviations of a draw from its component's mean


def draw_named(
  model: Model,
  state: PriorState,
  z: Array,
  noise: Array,
  resp: tuple[Array, ...],
  drawn: Array,
) -> Array:
  """z with the named z_i of some images from their component, `[..., L]`.

  That is the label, or the most responsible component. Its precision is taken
  at its mean and the draw is bounded, since those of eq. 10 have heavy tails.

  Args:
    model: with named factors.
    state: of the prior; no gradient flows to it.
    z: `[..., L]`.
    noise: standard normal `[..., L]`.
    resp: gamma_i `[..., K_i]`.
    drawn: bool `[...]`, the images.
  """
  parts, epsilons = [*split(state, z)], split(state, noise)
  for p in model.properties:
    i = p.factor
    f = lax.stop_gradient(state.factors[i])
    draw = _bounded(f, jnp.argmax(resp[i], -1), epsilons[i])
    parts[i] = jnp.where(drawn[..., None], draw, parts[i])
  return jnp.concatenate(parts, -1)


def _bounded(f: MeanParams, k: Array, noise: Array) -> Array:
  """z_i `[..., D]` of components k `[...]`."""
  bounded = jnp.clip(noise, -_FARTHEST, _FARTHEST)
  return f.m[k] + jnp.sqrt(f.b / f.a)[k] * bounded


# A layer for each factor: `[..., I, in]` -> `[..., I, out]`.
_Layers = nn.vmap(
  nn.Dense,
  in_axes=-2,
  out_axes=-2,
  variable_axes={"params": 0},
  split_rngs={"params": True},
)


class Reader(nn.Module):
  """Reads the component of each factor in the z_i of the others."""

  factors: tuple[tuple[int, int], ...]  # (D_i, K_i)

  @nn.compact
  def __call__(self, z: Array) -> tuple[Array, ...]:
    """z `[..., L]` -> logits `[..., K_i]` of each factor."""
    dims, num_components = zip(*self.factors, strict=True)
    factor = np.arange(len(dims))
    others = np.repeat(factor, dims) != factor[:, None]  # [I, L]
    x = jnp.where(others, z[..., None, :], 0)
    for _ in range(2):
      x = nn.leaky_relu(_Layers(_UNITS)(x))
    logits = _Layers(max(num_components))(x)
    return tuple(logits[..., i, :k] for i, k in enumerate(num_components))


def init_reader(model: Model, key: Array) -> Any:
  """The reader's params before the first step."""
  z = jnp.zeros(model.vae.latent_dim)
  return Reader(model.prior.factors).init(key, z)["params"]


def reader_costs(
  model: Model,
  params: Mapping[str, Any],
  state: PriorState,
  z: Array,
  resp: tuple[Array, ...],
) -> tuple[Array, Array]:
  """What trains the reader, and what trains the encoder against it.

  The first is the reader's cross entropy, whose gradient goes to the reader
  alone. The second is KL(q(pi)'s mean || reader), 0 where the reader knows no
  more than how common each component is; its gradient goes to z alone.

  Args:
    model: with at least two factors.
    params: of the reader.
    state: of the prior, in whose units the reader sees z.
    z: of q(z|x), `[..., L]`.
    resp: gamma_i `[..., K_i]`.

  Returns:
    Both in nats, summed over the factors, `[...]`.
  """
  factors = lax.stop_gradient(state.factors)
  seen = jnp.concatenate([*map(_standardised, factors, split(state, z))], -1)

  def log_probs(params: Any, z: Array) -> list[Array]:
    logits: Any = Reader(model.prior.factors).apply({"params": params}, z)
    return [jax.nn.log_softmax(x) for x in logits]

  read = log_probs(params, lax.stop_gradient(seen))
  told = log_probs(lax.stop_gradient(params), seen)
  reading, telling = jnp.zeros(z.shape[:-1]), jnp.zeros(z.shape[:-1])
  for f, gamma, of_reader, of_encoder in zip(
    factors, lax.stop_gradient(resp), read, told, strict=True
  ):
    share = align(f.c / jnp.sum(f.c), gamma)
    reading -= jnp.sum(gamma * of_reader, -1)
    telling += jnp.sum(share * (jnp.log(share) - of_encoder), -1)
  return reading, telling


class Recogniser(nn.Module):
  """Sees the component of each named factor in a picture."""

  num_components: tuple[int, ...]  # K_i of each named factor

  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, ...]:
    """`x` `[..., H, W, C]` -> logits `[..., K_i]` of each."""
    features = _WIDTH
    while max(x.shape[-3:-1]) > _TOP:
      odd = [(0, side % 2) for side in x.shape[-3:-1]]
      x = jnp.pad(x, (*[(0, 0)] * (x.ndim - 3), *odd, (0, 0)))
      x = nn.leaky_relu(Conv(features, 2)(x))
      features *= 2
    x = nn.leaky_relu(nn.Dense(_UNITS)(jnp.mean(x, (-3, -2))))
    return tuple(nn.Dense(k)(x) for k in self.num_components)


def _recogniser(model: Model) -> Recogniser:
  named = [p.factor for p in model.properties]
  return Recogniser(tuple(model.prior.factors[i][1] for i in named))


def init_recogniser(model: Model, key: Array) -> Any:
  """The recogniser's params before the first step."""
  x = jnp.zeros(model.vae.image_shape)
  return _recogniser(model).init(key, x)["params"]


def compose(
  model: Model, state: PriorState, z: Array, key: Array
) -> tuple[Array, Array]:
  """What a person might: chosen components, and an image's z_i or any others.

  Args:
    model: with named factors.
    state: of the prior.
    z: of one image, `[L]`.
    key: a PRNG key.

  Returns:
    z whose named z_i are from a component each, drawn evenly from those of its
    property, and whose others are the image's own or, half of the times, drawn
    as well, `[L]`; and the components, int `[P]`. Draws are those of
    `draw_named`. There is a gradient by the named factors alone.
  """
  chosen = {p.factor: len(p.values) for p in model.properties}
  own_key, *keys = jax.random.split(key, 1 + len(state.factors))
  own = jax.random.bernoulli(own_key)
  parts, components = [*split(state, lax.stop_gradient(z))], {}
  for i, (f, key) in enumerate(zip(state.factors, keys, strict=True)):
    k_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, f.m.shape[-1:])
    if i in chosen:
      k = components[i] = jax.random.randint(k_key, (), 0, chosen[i])
      parts[i] = _bounded(f, k, noise)
    else:
      f = lax.stop_gradient(f)
      k = jax.random.categorical(k_key, jnp.log(f.c))
      parts[i] = jnp.where(own, parts[i], _bounded(f, k, noise))
  order = [components[p.factor] for p in model.properties]
  return jnp.concatenate(parts), jnp.stack(order)


def obedience_costs(
  model: Model,
  params: Mapping[str, Any],
  state: PriorState,
  x: Array,
  z: Array,
  resp: tuple[Array, ...],
  keys: Array,
) -> tuple[Array, Array]:
  """What trains the recogniser, and what trains the decoder by it.

  The first is the recogniser's cross entropy on the images, with gamma as its
  teacher; the second that on pictures of `compose`, for the components that
  were chosen. Both are blurred at times and have noise, so that it looks at
  what a person would.

  Args:
    model: with named factors, of pictures.
    params: of the networks, the recogniser's under that name.
    state: of the prior.
    x: float images `[B, H, W, C]`.
    z: of q(z|x), `[B, L]`.
    resp: gamma_i `[B, K_i]`.
    keys: a PRNG key of each image, `[B]`.

  Returns:
    Both in nats, summed over the named factors, `[B]`.
  """
  z_keys, blur_keys, noise_keys = jax.vmap(jax.random.split, (0, None), 1)(
    keys, 3
  )
  noise = _NOISE * jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(
    noise_keys
  )

  def see(params: Any, pictures: Array) -> list[Array]:
    softer = jax.vmap(blur)(blur_keys, pictures) + noise
    logits: Any = _recogniser(model).apply({"params": params}, softer)
    return [jax.nn.log_softmax(one) for one in logits]

  recogniser = params["recogniser"]
  real = see(recogniser, x)
  composed, components = jax.vmap(functools.partial(compose, model, state))(
    z, z_keys
  )
  pictures = model.likelihood.mean(model.vae.decode(params, composed))
  seen = see(lax.stop_gradient(recogniser), pictures)
  recognising, obeying = jnp.zeros(len(x)), jnp.zeros(len(x))
  for p, of_real, of_picture, k in zip(
    model.properties, real, seen, components.T, strict=True
  ):
    gamma = lax.stop_gradient(resp[p.factor])
    recognising -= jnp.sum(gamma * of_real, -1)
    chosen = jax.nn.one_hot(k, gamma.shape[-1])
    obeying -= jnp.sum(chosen * of_picture, -1)
  return recognising, obeying


def _standardised(f: MeanParams, z: Array) -> Array:
  """In standard deviations of the mixture from its mean."""
  share, mean = (f.c / jnp.sum(f.c))[:, None], centre(f)
  variance = jnp.sum(share * (f.b / f.a + (f.m - mean) ** 2), 0)
  return (z - align(mean[0], z)) / jnp.sqrt(align(variance, z))
