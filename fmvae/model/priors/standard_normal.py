"""N(0, I), the prior of pre-training (Sec. 2.4) and of the plain VAE."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from fmvae.model.priors.record import Costs, Encoding, Variables
from fmvae.prior.stirling import LOG_2PI


@dataclasses.dataclass(frozen=True)
class StandardNormal:
  """N(z; 0, I): one factor of all dimensions, no components, no variables."""

  latent_dim: int  # L

  factors = ()
  updates = False

  def init(self, key: Array) -> tuple[None, None]:
    """There is nothing to train."""
    del key
    return None, None

  def init_from(self, key, variables: Variables, loc, log_var, num_data):
    """The variables as they are."""
    del key, loc, log_var, num_data
    return variables.params, variables.state

  def costs(
    self, variables: Variables, encoding: Encoding, labels: Array | None
  ) -> Costs:
    """KL(q(z|x) || N(0, I)) as the only factor's KL[z], `[..., 1]` in nats."""
    del variables, labels
    loc, log_var, variance, _ = encoding
    kl = 0.5 * jnp.sum(loc**2 + variance - 1 - log_var, -1, keepdims=True)
    zero = jnp.zeros_like(kl)
    return Costs(kl_z=kl, kl_r=zero, label_log_prob=zero, resp=())

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
    """z `[*shape, L]` and no components, int `[*shape, 0]`."""
    del variables, components
    z = jax.random.normal(key, (*shape, self.latent_dim))
    return z, jnp.zeros((*shape, 0), jnp.int32)

  def log_prob(self, variables: Variables, z: Array) -> Array:
    """log N(z; 0, I), `[...]` for `[..., L]`."""
    del variables
    return -0.5 * jnp.sum(z**2 + LOG_2PI, -1)

  def usage(self, variables: Variables) -> tuple[()]:
    """There are no components."""
    del variables
    return ()
