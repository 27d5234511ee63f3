"""The paper's prior, `fmvae.prior`, as a value that a model holds."""

import dataclasses

import jax.numpy as jnp
from jax import Array, lax

from fmvae import prior
from fmvae.model.priors.gaussians import Gaussians
from fmvae.model.priors.record import Costs, Encoding, Variables

_PAPER = prior.Hyperprior()


@dataclasses.dataclass(frozen=True)
class FactorialMixture:
  """A Bayesian Gaussian mixture for each factor (Sec. 2.1-2.2).

  Its state is a `prior.PriorState`; it has no params.
  """

  factors: tuple[tuple[int, int], ...]  # (D_i, K_i)
  hyperprior: prior.Hyperprior = _PAPER

  updates = True

  def init(self, key: Array) -> tuple[None, prior.PriorState]:
    """A start without encodings, until `init_from` has some."""
    return None, prior.init(key, self.factors, self.hyperprior)

  def init_from(
    self,
    key: Array,
    variables: Variables,
    loc: Array,
    log_var: Array,
    num_data: int,
  ) -> tuple[None, prior.PriorState]:
    """Components at k-means centres of encodings (`prior.init`)."""
    del variables
    return None, prior.init(
      key,
      self.factors,
      self.hyperprior,
      loc=loc,
      log_var=log_var,
      num_data=num_data,
    )

  def costs(
    self, variables: Variables, encoding: Encoding, labels: Array | None
  ) -> Costs:
    """Lines 4b and 4c and the cross entropy of eq. 8.

    The responsibilities are at their optimum, eq. 5, and held fixed: no
    gradient flows through them (steps 1 and 2 of Sec. 2.4).
    """
    state, (loc, log_var, _, _) = variables.state, encoding
    resp = lax.stop_gradient(
      prior.responsibilities(state, loc, log_var, labels)
    )
    return Costs(
      kl_z=prior.kl_z(state, loc, log_var, resp),
      kl_r=prior.kl_r(state, resp),
      label_log_prob=jnp.zeros((*loc.shape[:-1], len(resp)))
      if labels is None
      else prior.label_log_prob(state, loc, log_var, labels),
      resp=resp,
    )

  def gaussians(self, variables: Variables) -> list[Gaussians]:
    """The components at the mean precisions and weights under q(xi)."""
    return [
      Gaussians(f.m, jnp.log(f.b / f.a), jnp.log(f.c / jnp.sum(f.c)))
      for f in variables.state.factors
    ]

  def update(
    self,
    variables: Variables,
    loc: Array,
    log_var: Array,
    *,
    num_data: int,
    step_size: Array,
    labels: Array | None,
    axis_name: str | None,
  ) -> prior.PriorState:
    """gamma at the present phi, then eq. 13-14 (step 3 of Sec. 2.4)."""
    return prior.svi_update(
      variables.state,
      loc,
      log_var,
      num_data=num_data,
      step_size=step_size,
      labels=labels,
      axis_name=axis_name,
    )

  def global_costs(self, variables: Variables) -> Array:
    """Lines 4d and 4e before the 1/N, `[I]`."""
    return prior.kl_global(variables.state)

  def sample(
    self,
    key: Array,
    variables: Variables,
    shape: tuple[int, ...] = (),
    components: Array | None = None,
  ) -> tuple[Array, Array]:
    """Eq. 10; see `prior.sample`."""
    return prior.sample(key, variables.state, shape, components)

  def log_prob(self, variables: Variables, z: Array) -> Array:
    """log p_Q(z), the exact marginal under q(xi) (Sec. 2.6-2.7)."""
    return prior.log_prob(variables.state, z)

  def usage(self, variables: Variables) -> tuple[prior.Usage, ...]:
    """Of every factor, by q(pi)."""
    return prior.usage(variables.state)
