"""The mixture of q(z|u) over trained inputs u (Tomczak & Welling, 2018)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from fmvae import prior
from fmvae.model.priors import gaussians
from fmvae.model.priors.gaussians import Gaussians
from fmvae.model.priors.record import Costs, Encoding, Variables

_MEAN, _STD = 0.05, 0.01  # of the pixels at the start, as in the authors' code


@dataclasses.dataclass(frozen=True)
class Vamp:
  """VampPrior: q(z|u_k) for K pseudo-inputs u_k, all of one weight.

  Its params are the pseudo-inputs `[K, H, W, C]`, of which the encoder sees
  what lies in [0, 1], so that x must be zeros and ones; it has no state.
  """

  num_components: int  # K
  latent_dim: int  # L
  image_shape: tuple[int, ...]  # (H, W, C)

  updates = False

  @property
  def factors(self) -> tuple[tuple[int, int], ...]:
    """One, of all dimensions."""
    return ((self.latent_dim, self.num_components),)

  def init(self, key: Array) -> tuple[Array, None]:
    """Nearly black inputs with a little noise, as in the authors' code."""
    shape = (self.num_components, *self.image_shape)
    return _MEAN + _STD * jax.random.normal(key, shape), None

  def init_from(
    self,
    key: Array,
    variables: Variables,
    loc: Array,
    log_var: Array,
    num_data: int,
  ) -> tuple[Array, None]:
    """Training points, a little inside of [0, 1], with that noise.

    Nearly black inputs have one encoding, and take long to part.
    """
    del log_var, num_data, loc
    start, _ = self.init(key)
    if variables.inputs is not None:
      start += (1 - 2 * _MEAN) * variables.inputs(self.num_components)
    return start, None

  def gaussians(self, variables: Variables) -> list[Gaussians]:
    """q(z|u_k) of each pseudo-input."""
    loc, log_var = variables.encode(jnp.clip(variables.params, 0, 1))
    return [Gaussians(loc, log_var, jnp.log(self._share()))]

  def costs(
    self, variables: Variables, encoding: Encoding, labels: Array | None
  ) -> Costs:
    """The KL at the draw of z (`gaussians`); there are no labels."""
    del labels
    return gaussians.costs(self.gaussians(variables), encoding)

  def update(self, variables: Variables, loc, log_var, **options):
    """The state as it is."""
    del loc, log_var, options
    return variables.state

  def global_costs(self, variables: Variables) -> None:
    """There is no posterior."""
    del variables

  def sample(
    self,
    key: Array,
    variables: Variables,
    shape: tuple[int, ...] = (),
    components: Array | None = None,
  ) -> tuple[Array, Array]:
    """z `[*shape, L]` and its component, int `[*shape, 1]`."""
    return gaussians.sample(self.gaussians(variables), key, shape, components)

  def log_prob(self, variables: Variables, z: Array) -> Array:
    """log p(z), `[...]` for `[..., L]`."""
    return jnp.sum(gaussians.log_density(self.gaussians(variables), z), -1)

  def usage(self, variables: Variables) -> tuple[prior.Usage, ...]:
    """All of one weight."""
    del variables
    share = self._share()
    return (prior.Usage(share, jnp.zeros(share.shape, bool)),)

  def _share(self) -> Array:
    return jnp.full(self.num_components, 1 / self.num_components)


def make(
  latent_dim: int,
  factors: Any,
  image_shape: tuple[int, ...],
) -> Vamp:
  """The prior of a config, whose one factor says K.

  Raises:
    ValueError: there are several factors.
  """
  if len(factors) != 1:
    raise ValueError(
      "factors must hold one (D, K) for prior 'vamp', whose components are of "
      f"all dimensions, got {len(factors)}"
    )
  return Vamp(factors[0][1], latent_dim, tuple(image_shape))
