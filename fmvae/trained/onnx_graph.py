"""From a function of JAX to an ONNX model, by jax2onnx.

jax2onnx converts operation by operation. What it does wrong or does not know is
taken out before it sees the function: a choice between platforms becomes the
form that is XLA's own; a convolution whose input is dilated, such as a
transposed one of stride 2, becomes one of an input with the zeros in it
(jax2onnx 0.13 makes wrong shapes of it); padding, which it refuses where the
batch size is free, joins arrays; what depends on no input becomes a constant;
what no output needs is left out. onnxruntime then has to agree with JAX.
"""

import contextlib
import importlib.metadata
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Jaxpr, Literal

from fmvae.trained.export import Unexportable

_OPSET = 21
_TRIED = 3  # inputs on which onnxruntime and JAX have to agree
_TOLERANCE = 1e-3  # of the largest number of an output
# Primitives that run the jaxpr that they hold.
_CALLS = {
  "jit",
  "pjit",
  "closed_call",
  "core_call",
  "custom_jvp_call",
  "custom_vjp_call",
  "remat2",
  "checkpoint",
}


def convert(
  function: Callable[[Array], dict[str, Array]],
  name: str,
  like: jax.ShapeDtypeStruct,
) -> bytes:
  """An ONNX model that computes what a function does.

  Args:
    function: from one array to arrays by name.
    name: of its input.
    like: the input, whose first dimension is free.

  Raises:
    Unexportable: jax2onnx or onnxruntime is not there, or the model computes
      something else.
  """
  try:
    import onnxruntime
    from jax2onnx import to_onnx
  except ModuleNotFoundError as error:
    raise Unexportable(
      f"export to ONNX needs {error.name}: pip install 'fmvae[onnx]'"
    ) from None
  with _quiet():
    # A trace of its own, before jax2onnx puts its operations into JAX.
    closed, gives = jax.make_jaxpr(function, return_shape=True)(like)
    names = sorted(gives)  # as JAX orders a dict
    model = to_onnx(
      lambda x: tuple(_evaluate(closed.jaxpr, closed.consts, [x])),
      inputs=[like],
      input_names=[name],
      output_names=names,
      opset=_OPSET,
    ).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
      session = onnxruntime.InferenceSession(model, options)
      tried = np.random.default_rng(0).random((_TRIED, *like.shape[1:]))
      x = (tried * (255 if like.dtype == np.uint8 else 1)).astype(like.dtype)
      found = dict(zip(names, session.run(names, {name: x}), strict=True))
    except Exception as error:  # onnxruntime has no class for its own
      raise _wrong(f"onnxruntime does not take it: {error}") from error
  for of, wanted in jax.device_get(jax.jit(function)(x)).items():
    if found[of].shape != wanted.shape:
      raise _wrong(f"{of} is {found[of].shape} in place of {wanted.shape}")
    difference = np.max(np.abs(found[of] - wanted))
    if not difference <= _TOLERANCE * max(1, np.max(np.abs(wanted))):
      raise _wrong(f"{of} differs by {difference:.2g}")
  return bytes(model)


def _wrong(what: str) -> Unexportable:
  return Unexportable(
    f"jax2onnx {importlib.metadata.version('jax2onnx')} makes a wrong ONNX "
    f"model of the network ({' '.join(what.split())[:200]}): try another "
    "version of it, or another form of the network's layers"
  )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Without what the libraries say of themselves."""
  before = logging.root.manager.disable
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    try:
      yield
    finally:
      logging.disable(before)


def _evaluate(
  jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]
) -> list[Any]:
  """The outputs of a jaxpr, in the simpler form of this module."""
  values = dict(zip(jaxpr.constvars, consts, strict=True))
  values |= dict(zip(jaxpr.invars, arguments, strict=True))

  def read(var: Any) -> Any:
    return var.val if isinstance(var, Literal) else values[var]

  for eqn in _needed(jaxpr):
    out = _apply(eqn, [read(var) for var in eqn.invars])
    values |= dict(zip(eqn.outvars, out, strict=True))
  return [read(var) for var in jaxpr.outvars]


def _needed(jaxpr: Jaxpr) -> list[Any]:
  """The equations on which the outputs depend, in order."""
  wanted, found = set(map(id, jaxpr.outvars)), []
  for eqn in reversed(jaxpr.eqns):
    if any(id(var) in wanted for var in eqn.outvars):
      wanted.update(map(id, eqn.invars))
      found.append(eqn)
  return found[::-1]


def _apply(eqn: Any, values: list[Any]) -> Sequence[Any]:
  """The outputs of one equation."""
  name, params = eqn.primitive.name, eqn.params
  if name == "platform_index":
    return [np.int32(params["platforms"].index(None))]
  if name == "cond" and not isinstance(values[0], jax.core.Tracer):
    branch = params["branches"][int(values[0])]
    return _evaluate(branch.jaxpr, branch.consts, values[1:])
  if name in _CALLS:
    inner = params["jaxpr" if "jaxpr" in params else "call_jaxpr"]
    if isinstance(inner, Jaxpr):
      return _evaluate(inner, (), values)
    return _evaluate(inner.jaxpr, inner.consts, values)
  if name == "pad" and isinstance(values[0], jax.core.Tracer):
    return [_pad(values[0], values[1], params["padding_config"])]
  if name == "conv_general_dilated" and set(params["lhs_dilation"]) != {1}:
    values[0], params = _undilated(values[0], params)
  constant = not any(isinstance(value, jax.core.Tracer) for value in values)
  of_numbers = all(
    isinstance(n, int) for var in eqn.outvars for n in var.aval.shape
  )
  with contextlib.ExitStack() as stack:
    if constant and of_numbers:
      stack.enter_context(jax.ensure_compile_time_eval())
    params = eqn.primitive.get_bind_params(params)
    out = eqn.primitive.bind(*values, **params)
  return out if eqn.primitive.multiple_results else [out]


def _undilated(x: Array, params: dict[str, Any]) -> tuple[Array, dict]:
  """The input with the zeros between its elements, and params without them."""
  axes = params["dimension_numbers"].lhs_spec[2:]
  padding = [(0, 0, 0)] * x.ndim
  for axis, by in zip(axes, params["lhs_dilation"], strict=True):
    padding[axis] = (0, 0, by - 1)
  zero = jnp.zeros((), x.dtype)
  return _pad(x, zero, padding), params | {"lhs_dilation": (1,) * len(axes)}


def _pad(
  x: Array, value: Array, padding: Sequence[tuple[int, int, int]]
) -> Array:
  """`lax.pad` by joining arrays."""
  for axis, (low, high, between) in enumerate(padding):
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]

    def filled(*shape: int, around: tuple = (before, after)) -> Array:
      return lax.broadcast(value, (*around[0], *shape, *around[1]))

    if between:
      gaps = [jnp.expand_dims(x, axis + 1), filled(size, between)]
      x = lax.concatenate(gaps, axis + 1)
      x = x.reshape(*before, size * (between + 1), *after)
      high -= between  # those after the last element
    if low < 0 or high < 0:
      first, last = max(-low, 0), x.shape[axis] + min(high, 0)
      x = lax.slice_in_dim(x, first, last, axis=axis)
    parts = [filled(n) if n > 0 else None for n in (low, high)]
    parts.insert(1, x)
    x = lax.concatenate([part for part in parts if part is not None], axis)
  return x
