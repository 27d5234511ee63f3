"""A trained model without this package: programs of JAX, or ONNX models."""

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import fmvae
from fmvae.importing import describe
from fmvae.model.priors import Encoding
from fmvae.storage import replacing, write_json

if TYPE_CHECKING:
  from fmvae.trained.trained import Trained

FORMATS = ("jax", "onnx")
DTYPES = ("uint8", "float32")  # of pictures
BATCH = "batch"  # the free dimension
_PLATFORMS = ("cpu", "cuda", "tpu")


def export(
  run: "Trained", folder: pathlib.Path, format: str, dtype: str
) -> list[str]:
  """See `Trained.export`."""
  for name, value, known in (
    ("format", format, FORMATS),
    ("dtype", dtype, DTYPES),
  ):
    if value not in known:
      raise ValueError(f"{name} must be one of {known}, got {value!r}")
  spec = run.design.spec
  shape: tuple[int, ...] = spec.image_shape
  if spec.loc:
    shape, dtype = shape[-1:], "float32"
  latent = (run.model.vae.latent_dim,)
  halves = {
    "encoder": (encoder(run), "images", shape, dtype),
    "decoder": (decoder(run), "z", latent, "float32"),
  }
  files, described = {}, {}
  for name, (function, takes, of_one, of_dtype) in halves.items():
    (batch,) = jax.export.symbolic_shape(BATCH)
    like = jax.ShapeDtypeStruct((batch, *of_one), of_dtype)
    try:
      gives = jax.eval_shape(function, like)
      if format == "jax":
        whole = jax.export.export(jax.jit(function), platforms=_PLATFORMS)
        files[f"{name}.jax"] = bytes(whole(like).serialize())
      else:
        from fmvae.trained import onnx_graph

        files[f"{name}.onnx"] = onnx_graph.convert(function, takes, like)
    except Unexportable:
      raise
    except Exception as error:  # of an operation of a user's network, perhaps
      raise ValueError(
        f"the {name} cannot be exported to {format} with a free batch size, "
        "which is no number: x.shape[0] gives it and len(x) does not "
        f"({describe(error)[:300]})"
      ) from error
    described[name] = {
      "file": f"{name}.{format}",
      "inputs": {takes: _describe(like)},
      "outputs": {of: _describe(value) for of, value in gives.items()},
    }
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    with replacing(folder / name) as temporary:
      temporary.write_bytes(content)
  write_json(folder / "model.json", _metadata(run, dtype) | described)
  return [*files, "model.json"]


class Unexportable(ValueError):
  """An export that cannot be, in a sentence."""


def encoder(run: "Trained") -> Callable[[Array], dict[str, Array]]:
  """From images as `Trained` takes them to q(z|x) and q(r|x), by name.

  But for the draw of zeros and ones, which a run of 'static' or 'dynamic'
  binarisation was trained on: its encoder takes the mean of that draw.
  """
  model, params, prior_state = run.model, *_numbers(run)
  preprocessing = model.preprocessing
  to_input = preprocessing.input(training=False)

  def encode(images: Array) -> dict[str, Array]:
    x = images.astype(jnp.float32)
    if preprocessing.loc:
      x = x[:, None, None, :]
    else:
      if images.dtype != jnp.uint8:
        x = jnp.round(255 * x)
      if preprocessing.binarisation == "threshold":
        x = (x > 255 * preprocessing.threshold).astype(jnp.float32)
      elif preprocessing.binarisation != "none":
        x = x / 255
    x = to_input(None, x)  # type: ignore[arg-type]  # it draws nothing
    loc, log_var = model.vae.encode(params, x)
    costs = model.prior.costs(
      model.variables(params, prior_state),
      Encoding(loc, log_var, jnp.exp(log_var), loc),
      None,
    )
    out = {"loc": loc, "log_var": log_var}
    return out | {f"responsibilities_{i}": g for i, g in enumerate(costs.resp)}

  return encode


def decoder(run: "Trained") -> Callable[[Array], dict[str, Array]]:
  """From z to what `Trained.decode` gives, by name."""
  model, (params, _) = run.model, _numbers(run)
  low, high = model.likelihood.range
  loc, scale = (
    np.asarray(of, np.float32)[None]
    for of in (model.preprocessing.loc, model.preprocessing.scale)
  )

  def decode(z: Array) -> dict[str, Array]:
    mean = model.likelihood.mean(model.vae.decode(params, z))
    if model.preprocessing.loc:
      return {"images": mean[:, 0, 0, :] * scale + loc}
    return {"images": jnp.clip((mean - low) / (high - low), 0, 1)}

  return decode


def _numbers(run: "Trained") -> tuple[Any, Any]:
  """Params and the state of the prior, as constants of a program."""
  numbers: tuple[Any, Any] = jax.tree.map(
    jnp.asarray, (run.state.params, run.state.prior)
  )
  return numbers


def _describe(array: Any) -> dict[str, Any]:
  shape = [n if isinstance(n, int) else BATCH for n in array.shape]
  return {"dtype": np.dtype(array.dtype).name, "shape": shape}


def _metadata(run: "Trained", dtype: str) -> dict[str, Any]:
  """What a user of the files needs to know beside them."""
  preprocessing = run.model.preprocessing
  if run.design.spec.loc:
    units = "vectors in the units of the training data"
  else:
    units = "pictures, channels last, from 0 to 1"
  taken = units if dtype != "uint8" else units.replace("0 to 1", "0 to 255")
  if preprocessing.binarisation in ("static", "dynamic"):
    taken += (
      "; training saw zeros and ones: draw each pixel with its value as the "
      "probability of the highest one, as fmvae does, or take it as it is"
    )
  return {
    "fmvae": fmvae.__version__,
    "data": run.config.dataset.name,
    "step": run.step,
    "images": {"encoder": taken, "decoder": units},
    "factors": [
      {
        "name": factor.name,
        "size": factor.size,
        "components": list(factor.components),
        "share": [float(share) for share in factor.share],
        "pruned": [bool(pruned) for pruned in factor.pruned],
        "responsibilities": f"responsibilities_{i}",
      }
      for i, factor in enumerate(run.factors)
    ],
  }
