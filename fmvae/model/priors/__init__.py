"""Priors p(z) that a model can have, each a value of the protocol `Prior`.

A prior holds no numbers that training changes. Those are its *variables*: what
the optimiser trains beside theta and phi (`params`), what a closed-form update
changes (`state`), and the encoder at the present phi, for a prior that is made
of encoded inputs. A prior uses whichever of the three it needs; where it has
no `params` or no `state` they are None.

It may be a user's own: `config.prior = "my_module:make"` names what returns one
when it is called with the keywords of `make`, such as `latent_dim` (end with
`**_` for the others). Methods see any number of leading axes, and are checked
by their shapes before anything is compiled (`own.check`). To add one to this
package: a file with a frozen dataclass that has the members of `Prior`, and its
line in `_MAKERS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from jax import Array

from fmvae import importing
from fmvae import prior as factorial
from fmvae.model.priors import own, vamp
from fmvae.model.priors.factorial_mixture import FactorialMixture
from fmvae.model.priors.gaussian_mixture import GaussianMixture
from fmvae.model.priors.record import Costs, Encoding, Variables
from fmvae.model.priors.standard_normal import StandardNormal
from fmvae.model.priors.vamp import Vamp

__all__ = [
  "Costs",
  "Encoding",
  "FactorialMixture",
  "GaussianMixture",
  "Prior",
  "StandardNormal",
  "Vamp",
  "Variables",
  "make",
]


class Prior(Protocol):
  """A prior as a value: hashable, equal to another with the same fields."""

  @property
  def factors(self) -> tuple[tuple[int, int], ...]:
    """(D_i, K_i) of every factor that has components to choose, or ()."""

  @property
  def updates(self) -> bool:
    """Whether `update` does anything, so that there can be a phase of it."""

  def init(self, key: Array) -> tuple[Any, Any]:
    """The params and the state before the first step."""

  def init_from(
    self,
    key: Array,
    variables: Variables,
    loc: Array,
    log_var: Array,
    num_data: int,
  ) -> tuple[Any, Any]:
    """The params and the state that encodings of training points suggest.

    Args:
      key: a PRNG key.
      variables: as they are.
      loc: means of q(z|x), `[n, L]`.
      log_var: log variances of q(z|x), `[n, L]`.
      num_data: N, the size of the training set.
    """

  def costs(
    self, variables: Variables, encoding: Encoding, labels: Array | None
  ) -> Costs:
    """The KL terms of eq. 11 and the cross entropy of eq. 8, each point's own.

    Args:
      variables: of the prior.
      encoding: of the points; its `z` is for a KL that has no closed form.
      labels: int `[..., I]`, -1 where missing, or None.
    """

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
  ) -> Any:
    """The state after a closed-form step on a batch (eq. 13-14)."""

  def global_costs(self, variables: Variables) -> Array | None:
    """KL of the prior's own posterior `[I]`, lines 4d and 4e, before the 1/N.

    None where the prior has no posterior.
    """

  def sample(
    self,
    key: Array,
    variables: Variables,
    shape: tuple[int, ...] = (),
    components: Array | None = None,
  ) -> tuple[Array, Array]:
    """z `[*shape, L]` and its components, int `[*shape, I]`."""

  def log_prob(self, variables: Variables, z: Array) -> Array:
    """log p(z) `[...]` in nats, for z `[..., L]`."""

  def usage(self, variables: Variables) -> tuple[factorial.Usage, ...]:
    """For each of `factors`, the share of each component and what is pruned."""


def _pairs(factors: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
  return tuple((d, k) for d, k in factors)


_MAKERS: dict[str, Callable[..., Prior]] = {
  "factorial_mixture": lambda factors, hyperprior, **_: FactorialMixture(
    _pairs(factors), factorial.Hyperprior(**hyperprior)
  ),
  "gaussian_mixture": lambda factors, **_: GaussianMixture(_pairs(factors)),
  "standard_normal": lambda latent_dim, **_: StandardNormal(latent_dim),
  "vamp": lambda latent_dim, factors, image_shape, **_: vamp.make(
    latent_dim, factors, image_shape
  ),
}


def make(name: str, **fields: Any) -> Prior:
  """Builds a prior by the name that a config gives.

  Args:
    name: 'factorial_mixture', 'gaussian_mixture', 'standard_normal' or 'vamp',
      or 'module:function'.
    **fields: `latent_dim`, `factors` and `hyperprior` of the config, and
      `image_shape` (H, W, C), () before there are images.

  Raises:
    ValueError: there is none of that name, or a field is out of range.
  """
  if importing.is_object(name):

    def checked(made: Any) -> Prior:
      importing.require_members(made, Prior)
      if fields["image_shape"]:
        own.check(made, fields["latent_dim"], fields["image_shape"])
      found: Prior = made
      return found

    mine: Prior = importing.make("prior", name, checked, **fields)
    return mine
  if not isinstance(name, str) or name not in _MAKERS:
    raise ValueError(
      f"prior must be one of {list(_MAKERS)} or 'module:function' of your own, "
      f"got {name!r}"
    )
  return _MAKERS[name](**fields)
