"""Packs a trained model into one HTML file that needs nothing else.

The page has the model's description as JSON and its numbers as one compressed
block: the mixture, and encoder and decoder as programs. Parameters are rounded
to float16; what that does to pictures is measured here and stated in the page.
"""

import base64
import dataclasses
import hashlib
import html
import json
import pathlib
import re
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fmvae import config as config_lib
from fmvae import data
from fmvae.explorer.program import Program, trace
from fmvae.networks import count_params
from fmvae.prior import PriorState, dirichlet
from fmvae.prior.normal_gamma import expected_log_alpha
from fmvae.trained import Trained

_FOLDER = pathlib.Path(__file__).parent
_PARTS = ("model", "parts", "compose", "own", "grid", "page")  # .js
_MOST_PARAMS = 12_000_000
_LEAST_ROUNDED = 1_024  # numbers of an array
_MOST_HALF = 65_504.0  # of float16
_ERROR_OF = 100  # pictures
_NEIGHBOURS = 1_000  # at most, and at most so many bytes of pictures
_PICTURE_BYTES = 2_500_000
_COINCIDE = 0.9  # overlap of two components


@dataclasses.dataclass(frozen=True)
class Explorer:
  """A page, and what rounding has cost."""

  page: str  # HTML, complete in itself
  worst_error: float  # of a pixel of the pictures looked at, 0 to 1
  neighbours: int  # test pictures in it


def pack(run: Trained, pictures: np.ndarray | None = None) -> Explorer:
  """The page of a model.

  Args:
    run: of pictures, with components.
    pictures: uint8 `[N, H, W, C]` that may be shown to whoever gets the page,
      None for none. As many are kept as fit, evenly spaced.

  Raises:
    ValueError: a model that no page can hold or run, or pictures of a data set
      whose licence does not let them be passed on.
  """
  if pictures is not None:
    require_shown(run.config.dataset.name)
  run.require_factors()
  run.model.require_pictures("the explorer needs")
  networks = [run.state.params[half] for half in ("encoder", "decoder")]
  mixture, num = run.state.prior, count_params(networks)
  if not isinstance(mixture, PriorState):
    raise ValueError(
      "the explorer needs components with a mean, as those of config.prior = "
      f"'factorial_mixture' have, got {run.config.prior!r}"
    )
  if num > _MOST_PARAMS:
    raise ValueError(
      f"the networks have {num:,} parameters, which a page would need "
      f"{num * 8 / 3e6:.0f} MB for and seconds to run; it takes up to "
      f"{_MOST_PARAMS:,}: train with smaller networks, such as "
      "--config.network.width=32"
    )
  rounded = _rounded(run)
  block = _Block()
  error = _error(run, rounded)
  shown = _chosen(pictures)
  model = {
    "name": run.config.dataset.name,
    "step": run.step,
    "total": run.total,
    "image_shape": list(run.design.spec.image_shape),
    "latent_dim": run.model.vae.latent_dim,
    "params": num,
    "binary": run.model.likelihood.binary,
    "threshold": _threshold(run),
    "crop": config_lib.make_fit(run.config).crop,
    "error": [round(255 * e, 3) for e in error],
    "factors": _factors(run, mixture, block),
    "programs": {
      name: _program(traced, block)
      for name, traced in _programs(rounded).items()
    },
    "neighbours": None if shown is None else _neighbours(run, shown, block),
  }
  model["arrays"] = block.entries
  page = _assemble(model, block.packed())
  return Explorer(page, error[0], 0 if shown is None else len(shown))


def require_shown(name: str) -> None:
  """Raises ValueError where a data set's pictures may not be passed on."""
  if data.may_be_shown(name) is False:
    raise ValueError(
      f"the pictures of {name} may not be passed on, by their licence"
    )


def _rounded(run: Trained) -> Trained:
  """With every large array of parameters as float16 would have it."""

  def of(x: Any) -> Any:
    return x if x.size < _LEAST_ROUNDED else jnp.asarray(_half(x))

  params = jax.tree.map(of, run.state.params)
  return dataclasses.replace(run, state=run.state.replace(params=params))


def _half(x: Any) -> np.ndarray:
  """An array as float16 would have it, where that can hold its numbers."""
  kept = np.asarray(x)
  if np.abs(kept).max() > _MOST_HALF:
    return kept
  return kept.astype(np.float16).astype(np.float32)


def _error(run: Trained, rounded: Trained) -> tuple[float, float]:
  """Largest and mean difference of a pixel over drawn pictures, 0 to 1."""
  z, _ = run.model.sample(run.state, jax.random.key(0), (_ERROR_OF,))
  difference = np.abs(run.decode(z) - rounded.decode(z))
  return float(difference.max()), float(difference.mean())


def _threshold(run: Trained) -> float:
  preprocessing = run.model.preprocessing
  return preprocessing.threshold if _is_fixed(run) else 0.5


def _is_fixed(run: Trained) -> bool:
  return run.model.preprocessing.binarisation == "threshold"


def _programs(run: Trained) -> dict[str, Program]:
  """From z to a picture in [0, 1], and from a prepared picture to q(z|x)."""
  model, params = run.model, run.state.params
  low, high = model.likelihood.range
  to_input = model.preprocessing.input(training=False)

  def decode(z):
    mean = model.likelihood.mean(model.vae.decode(params, z))
    return jnp.clip((mean - low) / (high - low), 0, 1)

  def encode(x):
    return model.vae.encode(params, to_input(jax.random.key(0), x))

  return {
    "decode": trace(decode, (model.vae.latent_dim,)),
    "encode": trace(encode, model.vae.image_shape),
  }


def _program(program: Program, block: "_Block") -> dict[str, Any]:
  return {
    "input_shape": list(program.input_shape),
    "constants": [block.add(x) for x in program.constants],
    "ops": list(program.ops),
    "outputs": list(program.outputs),
  }


def _factors(
  run: Trained, mixture: PriorState, block: "_Block"
) -> list[dict[str, Any]]:
  out, first = [], 0
  named = {p.factor for p in run.model.properties}
  for i, (factor, f) in enumerate(
    zip(run.factors, mixture.factors, strict=True)
  ):
    normalisers = 0.5 * jnp.sum(expected_log_alpha(f.a, f.b) - 1 / f.s, -1)
    scale = jnp.sqrt((f.s + 1) * f.b / (f.s * f.a))
    arrays = {
      "m": f.m,
      "precision": f.a / f.b,
      "constant": normalisers + dirichlet.expected_log_weights(f.c),
      "a": f.a,
      "scale": scale,
    }
    out.append(
      {
        "name": factor.name if i in named else f"factor {i}",
        "size": factor.size,
        "first": first,
        "names": list(factor.components),
        "share": [float(s) for s in factor.share],
        "pruned": factor.pruned.tolist(),
        "coincide": _coincide(np.asarray(f.m), np.asarray(scale), factor),
      }
      | {name: block.add(np.asarray(x)) for name, x in arrays.items()}
    )
    first += factor.size
  return out


def _coincide(m: np.ndarray, scale: np.ndarray, factor: Any) -> list[list[int]]:
  """Pairs of components in use whose Gaussians overlap, `[n, 2]`.

  The overlap is Bhattacharyya's coefficient, 1 for equal ones.
  """
  used = np.flatnonzero(~factor.pruned)
  variance = scale.astype(np.float64) ** 2
  pairs = []
  for place, k in enumerate(used):
    others = used[place + 1 :]
    both = variance[k] + variance[others]
    squares = (m[k] - m[others]) ** 2 / (4 * both)
    roots = 0.5 * np.log(both / 2) - 0.25 * np.log(
      variance[k] * variance[others]
    )
    near = np.exp(-np.sum(squares + roots, -1)) > _COINCIDE
    pairs += [[int(k), int(other)] for other in others[near]]
  return pairs


def _chosen(pictures: np.ndarray | None) -> np.ndarray | None:
  if pictures is None:
    return None
  most = max(1, min(_NEIGHBOURS, _PICTURE_BYTES // pictures[0].size))
  rows = np.linspace(0, len(pictures) - 1, min(most, len(pictures)))
  return pictures[rows.astype(int)]


def _neighbours(
  run: Trained, pictures: np.ndarray, block: "_Block"
) -> dict[str, Any]:
  """Pictures by their codes and by the mean and variance of component means."""
  resp = run.assign(pictures)
  codes = np.stack([np.argmax(gamma, -1) for gamma in resp], -1)
  means, spreads = [], []
  for gamma, f in zip(resp, run.state.prior.factors, strict=True):
    m = np.asarray(f.m)
    means.append(gamma @ m)
    centred = m - np.mean(m, 0)
    moved = gamma @ centred
    spreads.append(gamma @ np.sum(centred**2, -1) - np.sum(moved**2, -1))
  return {
    "count": len(pictures),
    "pictures": block.add(pictures),
    "codes": block.add(codes.astype(np.uint16)),
    "means": block.add(_half(np.concatenate(means, -1))),
    "spreads": block.add(np.maximum(np.stack(spreads, -1), 0)),
  }


class _Block:
  """Arrays as bytes that compress: all first bytes, then all second ones."""

  def __init__(self):
    self.entries: list[dict[str, Any]] = []
    self._parts: list[bytes] = []
    self._length = 0

  def add(self, array: np.ndarray) -> int:
    """Keeps an array; returns its number."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "f":
      array = array.astype(np.float32)
      with np.errstate(over="ignore"):
        half = array.astype(np.float16)
      if (half.astype(np.float32) == array).all():
        array = half
    little = array.astype(array.dtype.newbyteorder("<"))
    planes = np.frombuffer(little.tobytes(), np.uint8)
    data = planes.reshape(-1, array.itemsize).T.tobytes()
    self.entries.append(
      {
        "kind": f"{array.dtype.kind}{array.itemsize}",
        "shape": list(array.shape),
        "start": self._length,
      }
    )
    self._parts.append(data)
    self._length += len(data)
    return len(self.entries) - 1

  def packed(self) -> bytes:
    """All of it, compressed."""
    return zlib.compress(b"".join(self._parts), 9)


def _assemble(model: dict[str, Any], numbers: bytes) -> str:
  script = "".join(read(f"{name}.js") for name in _PARTS)
  style = read("style.css")
  return fill(
    read("page.html"),
    policy=policy(script, style, "worker-src blob:"),
    title=html.escape(f"{model['name']}: explorer"),
    style=style,
    # A name from the data cannot end the element.
    model=json.dumps(model).replace("<", "\\u003c"),
    numbers=base64.b64encode(numbers).decode(),
    engine=read("engine.js"),
    script=script,
  )


def read(name: str) -> str:
  """A file of this folder."""
  return (_FOLDER / name).read_text()


def fill(template: str, **parts: str) -> str:
  """A template with `{{name}}` replaced, in one go."""

  def put(match: re.Match[str]) -> str:
    return parts[match[1]]

  return re.sub(r"\{\{(\w+)\}\}", put, template)


def policy(script: str, style: str, *more: str) -> str:
  """A content security policy: this script and style, and no request."""

  def sha(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

  allowed = [
    "default-src 'none'",
    *([f"script-src {sha(script)}"] if script else []),
    f"style-src {sha(style)}",
    "img-src data: blob:",
    "base-uri 'none'",
    "form-action 'none'",
    *more,
  ]
  return "; ".join(allowed)
