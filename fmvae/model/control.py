"""Training for composition: what a component says is seen, whatever the others.

A person composes z from components, and z_i of several images. The objective
of the paper asks nothing of such a z, and two shortcuts (Szabo et al. 2017,
1711.02245) spoil what it decodes to. Each has its cure here; both are options,
without which F is that of the paper.

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
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

from fmvae.model.model import Model
from fmvae.prior import MeanParams, PriorState
from fmvae.prior.arrays import align
from fmvae.prior.responsibilities import centre
from fmvae.prior.state import split

_UNITS = 128
_FARTHEST = 2.0  # standard deviations of a draw from its component's mean


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
  named = {p.factor for p in model.properties}
  parts = [*split(state, z)]
  epsilons = split(state, jnp.clip(noise, -_FARTHEST, _FARTHEST))
  for i in named:
    f = lax.stop_gradient(state.factors[i])
    k = jnp.argmax(resp[i], -1)
    draw = f.m[k] + jnp.sqrt(f.b / f.a)[k] * epsilons[i]
    parts[i] = jnp.where(drawn[..., None], draw, parts[i])
  return jnp.concatenate(parts, -1)


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


def _standardised(f: MeanParams, z: Array) -> Array:
  """In standard deviations of the mixture from its mean."""
  share, mean = (f.c / jnp.sum(f.c))[:, None], centre(f)
  variance = jnp.sum(share * (f.b / f.a + (f.m - mean) ** 2), 0)
  return (z - align(mean[0], z)) / jnp.sqrt(align(variance, z))
