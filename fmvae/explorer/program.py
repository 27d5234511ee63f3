"""A function of arrays as a list of few operations, which a page can run.

`trace` takes any pure function of JAX, such as a network with its parameters,
and rewrites its jaxpr in the operations that engine.js knows. An operation is a
dict with `op`, `in`, the numbers of what it reads, the `shape` of what it makes
and:

  view      start, strides: y[i] = x[start + sum_d strides_d i_d]
  pad       low, every: x into an array of `value`, beyond the edge left out
  concat    axis
  map       f: of one array, or of two or three of `shape` by broadcasting
  reduce    f: over the last axis
  matmul    [b, m, k] x [b, k, n]
  conv      [b, h, w, c] with a kernel [t, t, c / groups, n]

All numbers are float32; a truth is 0 or 1. What does not depend on the input is
computed here, once, and kept as a constant.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

# Operations of JAX on numbers one by one, by their name in engine.js.
_MAPS = {
  "abs": "abs",
  "add": "add",
  "add_any": "add",
  "and": "mul",
  "cbrt": "cbrt",
  "ceil": "ceil",
  "cos": "cos",
  "div": "div",
  "eq": "eq",
  "erf": "erf",
  "exp": "exp",
  "exp2": "exp2",
  "expm1": "expm1",
  "floor": "floor",
  "ge": "ge",
  "gt": "gt",
  "le": "le",
  "log": "log",
  "log1p": "log1p",
  "logistic": "logistic",
  "lt": "lt",
  "max": "max",
  "min": "min",
  "mul": "mul",
  "ne": "ne",
  "neg": "neg",
  "not": "not",
  "or": "max",
  "pow": "pow",
  "rsqrt": "rsqrt",
  "sign": "sign",
  "sin": "sin",
  "sqrt": "sqrt",
  "sub": "sub",
  "tanh": "tanh",
}
_SAME = {  # what changes no number
  "copy",
  "copy_p",
  "optimization_barrier",
  "reduce_precision",
  "sharding_constraint",
  "stop_gradient",
}
_REDUCTIONS = {
  "reduce_max": "max",
  "reduce_min": "min",
  "reduce_prod": "mul",
  "reduce_sum": "add",
}
_WINDOWS = {  # and what they begin with
  "reduce_window_max": ("max", -math.inf),
  "reduce_window_min": ("min", math.inf),
  "reduce_window_sum": ("add", 0.0),
}
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where a call keeps its function


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
  """What `trace` has made; value 0 is the input, then constants, then ops."""

  input_shape: tuple[int, ...]
  constants: tuple[np.ndarray, ...]  # float32
  ops: tuple[dict[str, Any], ...]
  outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Value:
  """An array that depends on the input: what makes it, and its shape."""

  op: dict[str, Any]  # with the _Values and constants that it reads
  shape: tuple[int, ...]


def trace(function: Callable[..., Any], shape: Sequence[int]) -> Program:
  """The program of a function of one float32 array.

  Args:
    function: pure; returns an array or several.
    shape: of its argument.

  Raises:
    ValueError: it does what no page can run; names the operation.
  """
  closed = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(shape, np.float32))
  given = _Value({"op": "input"}, tuple(shape))
  outputs = _run(closed.jaxpr, closed.consts, [given])
  return _linear(given, outputs)


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
  """The outputs of a jaxpr, each a `_Value` or, where it is known, an array."""
  values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
  values |= zip(jaxpr.invars, args, strict=True)

  def read(var: Any) -> Any:
    return var.val if isinstance(var, core.Literal) else values[var]

  for eqn in jaxpr.eqns:
    out = _apply(eqn, [read(var) for var in eqn.invars])
    values |= zip(eqn.outvars, out, strict=True)
  return [read(var) for var in jaxpr.outvars]


def _apply(eqn: Any, args: list[Any]) -> list[Any]:
  name, params = eqn.primitive.name, eqn.params
  if name == "platform_index":  # the branch that is for every platform
    return [len(params["platforms"]) - 1]
  if name == "cond" and not isinstance(args[0], _Value):
    branch = params["branches"][int(args[0])]
    return _run(branch.jaxpr, branch.consts, args[1:])
  inner = next((params[of] for of in _INNER if of in params), None)
  if inner is not None and name not in ("scan", "while"):
    return _run(
      getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), args
    )
  if not any(isinstance(arg, _Value) for arg in args):
    found = eqn.primitive.bind(*args, **params)
    return list(found) if eqn.primitive.multiple_results else [found]
  if name in _SAME:
    return args
  if name == "split":
    return _split(args[0], params["sizes"], params["axis"])
  shape = tuple(eqn.outvars[0].aval.shape)
  if name in _MAPS:
    return [_map(_MAPS[name], shape, *args)]
  if name in _REDUCTIONS:
    return [_reduce(_REDUCTIONS[name], args[0], params["axes"])]
  if name in _WINDOWS:
    return [_windows(*_WINDOWS[name], args[0], shape, params)]
  if name not in _OTHERS:
    raise ValueError(
      f"the network uses the operation {name!r}, which the page cannot run"
    )
  return [_OTHERS[name](args, shape, params)]


def _shape(x: Any) -> tuple[int, ...]:
  return tuple(x.shape) if isinstance(x, _Value) else np.shape(x)


def _op(op: str, shape: Sequence[int], args: Sequence[Any], **more: Any):
  shape = tuple(int(n) for n in shape)
  return _Value({"op": op, "args": list(args), **more}, shape)


def _map(f: str, shape: Sequence[int], *args: Any) -> _Value:
  return _op("map", shape, args, f=f)


def _strides(shape: Sequence[int]) -> list[int]:
  return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def _view(x: Any, shape: Sequence[int], strides: Sequence[int], start: int = 0):
  strides = [int(s) for s in strides]
  whole = math.prod(shape) == math.prod(_shape(x))
  if whole and start == 0 and strides == _strides(shape):
    return _reshape(x, shape)
  return _op("view", shape, [x], start=int(start), strides=strides)


def _reshape(x: Any, shape: Sequence[int]) -> Any:
  if not isinstance(x, _Value):
    return np.reshape(np.asarray(x), shape)
  return _view_as(x, tuple(int(n) for n in shape))


def _view_as(x: _Value, shape: tuple[int, ...]) -> _Value:
  return x if x.shape == shape else _Value({"op": "same", "args": [x]}, shape)


def _transpose(x: Any, axes: Sequence[int]) -> Any:
  if not isinstance(x, _Value):
    return np.transpose(np.asarray(x), axes)
  strides = _strides(x.shape)
  return _view(x, [x.shape[a] for a in axes], [strides[a] for a in axes])


def _slice(
  x: Any,
  starts: Sequence[int],
  limits: Sequence[int],
  steps: Sequence[int] | None,
) -> _Value:
  steps = steps or [1] * len(starts)
  strides = _strides(_shape(x))
  triples = list(zip(starts, limits, steps, strict=True))
  shape = [max(0, -(-(b - a) // step)) for a, b, step in triples]
  start = sum(a * s for a, s in zip(starts, strides, strict=True))
  every = [s * step for s, step in zip(strides, steps, strict=True)]
  return _view(x, shape, every, start)


def _split(x: Any, sizes: Sequence[int], axis: int) -> list[_Value]:
  out, first = [], 0
  for size in sizes:
    starts, limits = [0] * len(_shape(x)), list(_shape(x))
    starts[axis], limits[axis] = first, first + size
    out.append(_slice(x, starts, limits, None))
    first += size
  return out


def _broadcast(args, shape, params):
  x = args[0]
  strides = [0] * len(shape)
  places = params["broadcast_dimensions"]
  for d, n, s in zip(places, _shape(x), _strides(_shape(x)), strict=True):
    strides[d] = 0 if n == 1 and shape[d] != 1 else s
  return _view(x, shape, strides)


def _rev(args, shape, params):
  strides, start = _strides(shape), 0
  for d in params["dimensions"]:
    start += strides[d] * (shape[d] - 1)
    strides[d] *= -1
  return _view(args[0], shape, strides, start)


def _pad(args, shape, params):
  config = params["padding_config"]
  return _padded(args[0], float(args[1]), shape, config)


def _padded(x: Any, value: float, shape: Sequence[int], config: Any) -> _Value:
  return _op(
    "pad",
    shape,
    [x],
    value=value if math.isfinite(value) else math.copysign(3e38, value),
    low=[int(c[0]) for c in config],
    every=[int(c[2]) + 1 for c in config],
  )


def _reduce(f: str, x: Any, axes: Sequence[int]) -> _Value:
  shape = _shape(x)
  kept = [d for d in range(len(shape)) if d not in axes]
  moved = _transpose(x, [*kept, *axes])
  out = [shape[d] for d in kept]
  flat = _reshape(moved, (*out, math.prod(shape[d] for d in axes)))
  return _op("reduce", out, [flat], f=f)


def _windows(f: str, start: float, x: Any, shape, params) -> Any:
  """One operation for each place in the window."""
  dilated = (*params["base_dilation"], *params["window_dilation"])
  if any(n != 1 for n in dilated):
    raise ValueError("the network has dilated pooling, which no page can run")
  padding, steps = params["padding"], params["window_strides"]
  sides = zip(_shape(x), padding, strict=True)
  wide = [n + low + high for n, (low, high) in sides]
  if any(low or high for low, high in padding):
    x = _padded(x, start, wide, [(low, high, 0) for low, high in padding])
  total: Any = None
  for place in np.ndindex(*params["window_dimensions"]):
    ends = zip(place, shape, steps, strict=True)
    limits = [p + (n - 1) * step + 1 for p, n, step in ends]
    tap = _slice(x, place, limits, steps)
    total = tap if total is None else _map(f, shape, total, tap)
  return total


def _dot(args, shape, params):
  (left_sum, right_sum), (left_all, right_all) = params["dimension_numbers"]

  def sides(x, summed, batch):
    free = [d for d in range(len(_shape(x))) if d not in (*summed, *batch)]
    size = [math.prod(_shape(x)[d] for d in of) for of in (batch, free, summed)]
    return free, size

  left, right = args
  free, (b, m, k) = sides(left, left_sum, left_all)
  a = _reshape(_transpose(left, [*left_all, *free, *left_sum]), (b, m, k))
  free, (_, n, _) = sides(right, right_sum, right_all)
  c = _reshape(_transpose(right, [*right_all, *right_sum, *free]), (b, k, n))
  return _view_as(_op("matmul", (b, m, n), [a, c]), shape)


def _conv(args, shape, params):
  numbers = params["dimension_numbers"]
  if len(shape) != 4 or params["batch_group_count"] != 1:
    raise ValueError(
      "the network has a convolution that is not over two sides, which the "
      "page cannot run"
    )

  def last(spec):  # (batch, feature, h, w) -> [b, h, w, c]
    return [spec[0], spec[2], spec[3], spec[1]]

  x = _transpose(args[0], last(numbers.lhs_spec))
  out, features, height, width = numbers.rhs_spec
  kernel = _transpose(args[1], [height, width, features, out])
  made = last(numbers.out_spec)
  y = _op(
    "conv",
    [shape[d] for d in made],
    [x, kernel],
    stride=[int(n) for n in params["window_strides"]],
    low=[int(low) for low, _ in params["padding"]],
    spread=[int(n) for n in params["lhs_dilation"]],
    dilation=[int(n) for n in params["rhs_dilation"]],
    groups=int(params["feature_group_count"]),
  )
  return _transpose(y, np.argsort(made).tolist())


def _dynamic_slice(args, shape, params):
  x, *starts = args
  if any(isinstance(s, _Value) for s in starts):
    raise ValueError("the network looks values up, which the page cannot do")
  triples = zip(starts, shape, _shape(x), strict=True)
  first = [min(max(int(s), 0), n - size) for s, size, n in triples]
  ends = [a + n for a, n in zip(first, shape, strict=True)]
  return _slice(x, first, ends, None)


def _convert(args, shape, params):
  kind = np.dtype(params["new_dtype"]).kind
  if kind == "b":
    return _map("ne", shape, args[0], np.float32(0))
  return args[0] if kind not in "iu" else _map("trunc", shape, args[0])


def _concatenate(args, shape, params):
  return _op("concat", shape, args, axis=int(params["dimension"]))


def _select(args, shape, params):
  which, *cases = args
  if len(cases) != 2:
    raise ValueError("the network selects among many, which no page can run")
  return _map("select", shape, which, *cases)


def _integer_pow(args, shape, params):
  return _map("pow", shape, args[0], np.float32(params["y"]))


_OTHERS: dict[str, Callable[..., Any]] = {
  "broadcast_in_dim": _broadcast,
  "clamp": lambda args, shape, _: _map(
    "min", shape, _map("max", shape, args[1], args[0]), args[2]
  ),
  "concatenate": _concatenate,
  "conv_general_dilated": _conv,
  "convert_element_type": _convert,
  "dot_general": _dot,
  "dynamic_slice": _dynamic_slice,
  "erfc": lambda args, shape, _: _map(
    "sub", shape, np.float32(1), _map("erf", shape, args[0])
  ),
  "expand_dims": lambda args, shape, _: _reshape(args[0], shape),
  "integer_pow": _integer_pow,
  "pad": _pad,
  "reshape": lambda args, shape, _: _reshape(args[0], shape),
  "rev": _rev,
  "select_n": _select,
  "slice": lambda args, _, params: _slice(
    args[0],
    params["start_indices"],
    params["limit_indices"],
    params["strides"],
  ),
  "square": lambda args, shape, _: _map("mul", shape, args[0], args[0]),
  "squeeze": lambda args, shape, _: _reshape(args[0], shape),
  "transpose": lambda args, _, params: _transpose(
    args[0], params["permutation"]
  ),
}


def _linear(given: _Value, outputs: Sequence[Any]) -> Program:
  """What the outputs need, in the order in which it can be computed."""
  constants: list[np.ndarray] = []
  ops: list[_Value] = []
  numbers: dict[int, Any] = {id(given): 0}
  known: dict[int, int] = {}  # of constants

  def constant(x: Any) -> tuple[str, int]:
    if id(x) not in known:
      known[id(x)] = len(constants)
      constants.append(np.asarray(x, np.float32))
      kept.append(x)  # so that no other array takes its id
    return ("constant", known[id(x)])

  kept: list[Any] = []
  stack: list[Any] = [out for out in outputs if isinstance(out, _Value)]
  while stack:
    value = stack[-1]
    missing = [
      arg
      for arg in value.op.get("args", ())
      if isinstance(arg, _Value) and id(arg) not in numbers
    ]
    if id(value) in numbers:
      stack.pop()
    elif missing:
      stack += missing
    else:
      numbers[id(value)] = ("op", len(ops))
      ops.append(value)
      stack.pop()

  def number(x: Any) -> Any:
    return numbers[id(x)] if isinstance(x, _Value) else constant(x)

  read = [[number(arg) for arg in value.op["args"]] for value in ops]
  made = [number(out) for out in outputs]

  def final(which: Any) -> int:
    if which == 0:
      return 0
    kind, n = which
    return 1 + n + (len(constants) if kind == "op" else 0)

  return Program(
    given.shape,
    tuple(constants),
    tuple(
      {k: v for k, v in value.op.items() if k != "args"}
      | {"in": [final(x) for x in args], "shape": list(value.shape)}
      for value, args in zip(ops, read, strict=True)
    ),
    tuple(final(out) for out in made),
  )
