"""A Gaussian mixture with point estimates that the optimiser trains (VaDE)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from fmvae import prior
from fmvae.model.priors import gaussians
from fmvae.model.priors.gaussians import Gaussians
from fmvae.model.priors.record import Costs, Encoding, Variables

# Of a component's share, fewer than one in so many points: pruned.
_PRUNED = 1e-5


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
  """A mixture for each factor: means, variances and weights are numbers.

  Its params are `loc` and `log_var` `[K, D]` and `logits` `[K]` of each factor,
  by its number; it has no state. It begins where the factorial mixture does.
  """

  factors: tuple[tuple[int, int], ...]  # (D_i, K_i)

  updates = False

  def init(self, key: Array) -> tuple[dict[str, Any], None]:
    """A start without encodings, until `init_from` has some."""
    return _params(prior.init(key, self.factors)), None

  def init_from(
    self,
    key: Array,
    variables: Variables,
    loc: Array,
    log_var: Array,
    num_data: int,
  ) -> tuple[dict[str, Any], None]:
    """Components at k-means centres of encodings, of equal weight."""
    del variables
    start = prior.init(
      key, self.factors, loc=loc, log_var=log_var, num_data=num_data
    )
    return _params(start), None

  def gaussians(self, variables: Variables) -> list[Gaussians]:
    """The components of each factor."""
    params = [variables.params[str(i)] for i in range(len(self.factors))]
    return [
      Gaussians(p["loc"], p["log_var"], jax.nn.log_softmax(p["logits"]))
      for p in params
    ]

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
    """z `[*shape, L]` and its components, int `[*shape, I]`."""
    return gaussians.sample(self.gaussians(variables), key, shape, components)

  def log_prob(self, variables: Variables, z: Array) -> Array:
    """log p(z), `[...]` for `[..., L]`."""
    return jnp.sum(gaussians.log_density(self.gaussians(variables), z), -1)

  def usage(self, variables: Variables) -> tuple[prior.Usage, ...]:
    """Weights; a component below a share of 1e-5 is pruned."""
    shares = [jnp.exp(g.log_weight) for g in self.gaussians(variables)]
    return tuple(prior.Usage(s, s < _PRUNED) for s in shares)


def _params(start: prior.PriorState) -> dict[str, Any]:
  return {
    str(i): {
      "loc": f.m,
      "log_var": jnp.log(f.b / f.a),
      "logits": jnp.zeros_like(f.c),
    }
    for i, f in enumerate(start.factors)
  }
