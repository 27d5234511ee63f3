"""What is asked of a prior from a user's file.

See `fmvae.model.priors` for the protocol.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from fmvae.importing import describe
from fmvae.model.priors.record import Costs, Encoding, Variables

_BATCH = 5  # of the points that are thought of


def check(prior: Any, latent_dim: int, image_shape: tuple[int, ...]) -> None:
  """Raises ValueError unless the members of a prior are what they should be.

  By shapes alone; nothing is compiled.

  Args:
    prior: with all members.
    latent_dim: L.
    image_shape: `(H, W, C)`.
  """
  if not isinstance(prior.updates, bool):
    raise ValueError(f"updates must be True or False, got {prior.updates!r}")
  factors = prior.factors
  if not (
    isinstance(factors, tuple)
    and all(isinstance(f, tuple) and len(f) == 2 for f in factors)
    and all(isinstance(n, int) and n >= 1 for f in factors for n in f)
  ):
    raise ValueError(
      "factors must be a tuple of (D, K), or () for a prior without "
      f"components, got {factors!r}"
    )
  key = jax.random.key(0)
  started = _shapes("init", prior.init, key)
  if not isinstance(started, tuple) or len(started) != 2:
    raise ValueError(f"init must return (params, state), got {started!r}")
  for leaf in jax.tree.leaves(started[0]):
    if leaf.dtype != jnp.float32:
      raise ValueError(f"init must return float32 params, got {leaf.dtype}")

  def encode(x: Array) -> tuple[Array, Array]:
    zeros = jnp.zeros((*x.shape[:-3], latent_dim))
    return zeros, zeros

  def inputs(num: int) -> Array:
    return jnp.zeros((num, *image_shape))

  def given(of: Callable[..., Any]) -> Callable[..., Any]:
    def call(variables: tuple[Any, Any], *rest: Any) -> Any:
      params, state = variables
      return of(Variables(params, state, encode, inputs), *rest)

    return call

  def like(*shape: int, dtype: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)

  z, num = like(_BATCH, latent_dim), len(factors)
  codes = like(_BATCH, num, dtype=jnp.int32) if num else None

  def from_encodings(variables: Variables, loc: Array) -> Any:
    return prior.init_from(key, variables, loc, loc, 2 * _BATCH)

  again = _shapes("init_from", given(from_encodings), started, z)
  _require("init_from", again, started)

  density = _shapes("log_prob", given(prior.log_prob), started, z)
  _require("log_prob", density, like(_BATCH))

  def costs(variables: Variables, z: Array, labels: Array | None) -> Costs:
    found: Costs = prior.costs(variables, Encoding(z, z, z, z), labels)
    return found

  for labels in (None, codes):
    found = _shapes("costs", given(costs), started, z, labels)
    if not isinstance(found, Costs):
      raise ValueError(
        f"costs must return fmvae.model.priors.Costs, got {found}"
      )
    of_factors = like(_BATCH, num or 1)
    resp = tuple(like(_BATCH, k) for _, k in factors)
    _require("costs", found, Costs(of_factors, of_factors, of_factors, resp))
  if prior.updates:

    def update(variables: Variables, loc: Array, labels: Array | None) -> Any:
      return prior.update(
        variables,
        loc,
        loc,
        num_data=2 * _BATCH,
        step_size=jnp.float32(0.5),
        labels=labels,
        axis_name=None,
      )

    updated = _shapes("update", given(update), started, z, codes)
    _require("update", updated, started[1])

  def draw(variables: Variables, components: Array | None) -> Any:
    return prior.sample(key, variables, (_BATCH,), components)

  for components in (None, codes):
    drawn = _shapes("sample", given(draw), started, components)
    _require("sample", drawn, (z, like(_BATCH, num, dtype=jnp.int32)))
  shared = _shapes("global_costs", given(prior.global_costs), started)
  _require("global_costs", shared, None if shared is None else like(num or 1))
  usage = _shapes("usage", given(prior.usage), started)
  if not isinstance(usage, tuple) or len(usage) != num:
    raise ValueError(
      f"usage must return one for each of {num} factors, got {usage!r}"
    )


def _shapes(method: str, of: Callable[..., Any], *arguments: Any) -> Any:
  try:
    return jax.eval_shape(of, *arguments)
  except Exception as error:  # of code that is not ours
    raise ValueError(f"{method} failed: {describe(error)}") from error


def _require(method: str, found: Any, wanted: Any) -> None:
  """The same tree, of the same shapes and dtypes."""

  def spec(tree: Any) -> Any:
    return jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree)

  trees: list[Any] = [jax.tree.structure(tree) for tree in (found, wanted)]
  if trees[0] != trees[1] or spec(found) != spec(wanted):
    raise ValueError(
      f"{method} must return {spec(wanted)} for {_BATCH} points, got "
      f"{spec(found)}"
    )
