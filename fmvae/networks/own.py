"""A pair from a user's file: the two halves and what is asked of them.

See `fmvae.networks` for the protocol. A half equals itself alone:
`importing.make` gives the same one for equal arguments, so that a user's module
need not hash.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from flax import errors, nnx
from flax import linen as nn

from fmvae.importing import describe

_BATCH = 5  # of the images that are thought of
_INSTEAD = (
  "use GroupNorm or LayerNorm in place of BatchNorm, and no dropout: a step "
  "has neither a state nor random numbers for a network"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Linen:
  """A Linen module that sees one batch axis, whatever `x` has.

  Attributes:
    module: `[B, ...]` -> arrays `[B, ...]`.
    ndim: axes of one input.
  """

  module: nn.Module
  ndim: int

  def init(self, key: jax.Array, x: jax.Array) -> dict[str, Any]:
    """All variables, from one input."""
    return dict(self.module.init(key, x[None]))

  def apply(self, variables: Mapping[str, Any], x: jax.Array) -> Any:
    """Of inputs with any number of batch axes."""
    return _flattened(
      lambda flat: self.module.apply(variables, flat), x, self.ndim
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Nnx:
  """An nnx module as if it were a Linen one: its params by path.

  Attributes:
    build: called with `rngs=`; returns the module, `[B, ...]` -> `[B, ...]`.
    ndim: axes of one input.
  """

  build: Callable[..., nnx.Module]
  ndim: int

  def init(self, key: jax.Array, x: jax.Array) -> dict[str, Any]:
    """All variables."""
    del x
    _, state = nnx.split(self.build(rngs=nnx.Rngs(key)))
    variables: dict[str, dict[str, Any]] = {}
    for path, leaf in nnx.to_flat_state(state):
      variables.setdefault(_collection(leaf), {})[_joined(path)] = leaf[...]
    return variables

  def apply(self, variables: Mapping[str, Any], x: jax.Array) -> Any:
    """Of inputs with any number of batch axes."""
    params = variables["params"]
    definition, leaves = self._structure
    state = nnx.from_flat_state(
      [(path, leaf.replace(params[_joined(path)])) for path, leaf in leaves]
    )
    return _flattened(nnx.merge(definition, state), x, self.ndim)

  @functools.cached_property
  def _structure(self) -> tuple[Any, list[tuple[Any, Any]]]:
    """What is fixed about the module, and its variables, without numbers."""
    module = nnx.eval_shape(lambda: self.build(rngs=nnx.Rngs(0)))
    for _, part in nnx.iter_modules(module):
      for name, value in vars(part).items():
        if isinstance(value, jax.core.Tracer):
          raise ValueError(
            f"{type(part).__name__}.{name} is an array that is no nnx.Param: "
            "make it in __call__"
          )
    definition, state = nnx.split(module)
    return definition, list(nnx.to_flat_state(state))


def _collection(leaf: Any) -> str:
  if isinstance(leaf, nnx.Param):
    return "params"
  return type(leaf).__name__ if isinstance(leaf, nnx.Variable) else "arrays"


def _joined(path: tuple[Any, ...]) -> str:
  return "/".join(map(str, path))


def _flattened(
  apply: Callable[[jax.Array], Any], x: jax.Array, ndim: int
) -> Any:
  batch = x.shape[: x.ndim - ndim]
  out = apply(x.reshape(-1, *x.shape[x.ndim - ndim :]))
  return jax.tree.map(lambda y: y.reshape(*batch, *y.shape[1:]), out)


def pair(
  returned: Any,
  latent_dim: int,
  image_shape: tuple[int, ...],
  channels: int,
) -> tuple[Any, Any]:
  """Encoder and decoder of a user's `make`, once they have been found right.

  Nothing is compiled for that, and no array is made.

  Raises:
    ValueError: what is wrong with one of them, in a sentence.
  """
  if not isinstance(returned, tuple | list) or len(returned) != 2:
    raise ValueError(
      f"it must return (encoder, decoder), got {type(returned).__name__}"
    )
  encoder = _half("encoder", returned[0], 3)
  decoder = _half("decoder", returned[1], 1)
  out = _shapes("encoder", encoder, image_shape)
  latent = (_BATCH, latent_dim)
  if not (
    isinstance(out, tuple | list)
    and [getattr(of, "shape", None) for of in out] == [latent, latent]
  ):
    raise ValueError(
      f"the encoder must return (loc, log_var), each {[*latent]}, of images "
      f"{[_BATCH, *image_shape]}, got {_shown(out)}"
    )
  raw = _shapes("decoder", decoder, (latent_dim,))
  wanted = (_BATCH, *image_shape[:2], channels)
  if getattr(raw, "shape", None) != wanted:
    raise ValueError(
      f"the decoder must return {[*wanted]} of z {[*latent]}, with the number "
      f"of channels that `make` was given, got {_shown(raw)}"
    )
  for name, value in (("encoder", out), ("decoder", raw)):
    _require_float32(f"the {name} must return float32", value)
  return encoder, decoder


def _half(name: str, module: Any, ndim: int) -> Linen | Nnx:
  if isinstance(module, nn.Module):
    return Linen(module, ndim)
  if isinstance(module, nnx.Module) or not callable(module):
    raise ValueError(
      f"the {name} must be a Linen module, or what makes an nnx module when it "
      "is called with rngs=, such as functools.partial(Encoder, latent_dim), "
      f"got an object of {type(module).__name__}"
    )
  return Nnx(module, ndim)


def _shapes(name: str, half: Linen | Nnx, shape: tuple[int, ...]) -> Any:
  """What a half makes of a batch, by its shapes; checks its variables."""
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  batch = jax.ShapeDtypeStruct((_BATCH, *shape), jnp.float32)
  try:
    variables = jax.eval_shape(half.init, jax.random.key(0), x)
  except Exception as error:
    _refuse(name, f"cannot be made for {[1, *shape]}", error)
  others = sorted(set(variables) - {"params"})
  if others:
    raise ValueError(
      f"the {name} has variables {', '.join(others)} besides its params: "
      f"{_INSTEAD}"
    )
  params = variables.get("params")
  if not params:
    raise ValueError(f"the {name} must have params, and has none")
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    keys = [getattr(key, "key", None) for key in path]
    if not all(isinstance(key, str) for key in keys):
      raise ValueError(
        f"the {name} must have params in plain dicts, without partitioning or "
        f"other metadata, got {jax.tree_util.keystr(path)}"
      )
    _require_float32(f"the {name} must have float32 params", leaf, *keys)
  try:
    return jax.eval_shape(
      lambda params, x: half.apply({"params": params}, x), params, batch
    )
  except Exception as error:
    _refuse(name, f"cannot take a batch {[*batch.shape]}", error)


def _refuse(name: str, what: str, error: Exception) -> NoReturn:
  if isinstance(error, errors.InvalidRngError):
    raise ValueError(
      f"the {name} asks for random numbers: {_INSTEAD}"
    ) from error
  raise ValueError(f"the {name} {what}: {describe(error)}") from error


def _require_float32(what: str, tree: Any, *path: Any) -> None:
  for leaf in jax.tree.leaves(tree):
    if leaf.dtype != jnp.float32:
      at = f" at {_joined(path)}" if path else ""
      raise ValueError(f"{what}, got {leaf.dtype}{at}")


def _shown(out: Any) -> str:
  return str(jax.tree.map(lambda y: list(y.shape), out))
