"""Encoders and decoders as programs of JAX and as ONNX models."""

import importlib.util
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from fmvae import config as config_lib
from fmvae import experiment
from fmvae.experiment import DataSpec
from fmvae.trained import Trained

needs_onnx = pytest.mark.skipif(
  importlib.util.find_spec("jax2onnx") is None,
  reason="jax2onnx: pip install 'fmvae[onnx]'",
)
VECTORS = {"loc": (3.0, -1.0, 0.0), "scale": (10.0, 0.5, 1.0)}


def transposed(latent_dim, image_shape, channels):
  """What jax2onnx 0.13 gets wrong, and a normalisation."""
  encoder = [
    nn.Conv(4, (3, 3), 2),
    nn.GroupNorm(2),
    nn.gelu,
    lambda x: x.reshape(x.shape[0], -1),
    nn.Dense(2 * latent_dim),
    lambda x: (x[:, :latent_dim], x[:, latent_dim:]),
  ]
  decoder = [
    nn.Dense(3 * 3 * 4),
    lambda z: nn.softplus(z.reshape(-1, 3, 3, 4)),
    nn.ConvTranspose(4, (3, 3), (2, 2)),
    nn.ConvTranspose(channels, (4, 4), (2, 2), padding="VALID"),
    lambda x: x[:, :10, :10],
  ]
  return nn.Sequential(encoder), nn.Sequential(decoder)


def trained(network, shape, likelihood="gaussian", binarisation="none", **spec):
  """A model with drawn numbers: to compile what draws them takes longer."""
  config = config_lib.default()
  config.network, config.likelihood = network, likelihood
  config.dataset.binarisation = binarisation
  config.latent_dim, config.factors = 5, ((2, 3), (3, 2))
  config.steps = {"pretrain": 1, "prior": 0, "joint": 1}
  config.batch_size = 8
  design = experiment.from_spec(config, DataSpec(shape, 40, 4, (), **spec))
  state = jax.eval_shape(lambda: experiment.init(design))
  rng = np.random.default_rng(0)

  def draw(leaf):
    fan_in = max(np.prod(leaf.shape[:-1]), 1)
    values = rng.normal(scale=np.sqrt(1 / fan_in), size=leaf.shape)
    return values.astype(leaf.dtype)

  prior = jax.tree.map(
    lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), state.prior
  )
  params = jax.tree.map(draw, state.params)
  return Trained(design, state.replace(params=params, prior=prior, step=2))


def of_jax(folder):
  return [
    jax.export.deserialize((folder / f"{name}.jax").read_bytes()).call
    for name in ("encoder", "decoder")
  ]


def of_onnx(folder):
  import onnxruntime

  def load(name):
    session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"))
    (takes,) = session.get_inputs()
    names = [of.name for of in session.get_outputs()]

    def call(x):
      return dict(zip(names, session.run(None, {takes.name: x}), strict=True))

    return call

  return load("encoder"), load("decoder")


CASES = {
  "mlp": ({"name": "mlp", "hidden": (8,)}, (3, 2, 1), "bernoulli", "threshold"),
  "gated": (
    {"name": "gated_mlp", "hidden": (8,)},
    (3, 2, 1),
    "bernoulli",
    "static",
  ),
  "conv28": ({"name": "conv28"}, (28, 28, 1), "bernoulli", "dynamic"),
  "conv64": ({"name": "conv64", "width": 4}, (32, 32, 3)),
  "conv": ({"name": "conv", "width": 4}, (9, 13, 2)),
  "own": ({"name": "tests.trained.test_export:transposed"}, (10, 10, 3)),
  "vectors": ({"name": "mlp", "hidden": (8,)}, (1, 1, 3), "free_gaussian"),
  "counts": ({"name": "mlp", "hidden": (8,)}, (1, 1, 3), "negative_binomial"),
}
FORMATS = ["jax", pytest.param("onnx", marks=needs_onnx)]


@pytest.fixture(scope="module", params=CASES)
def case(request):
  """A model, images, and what it makes of them."""
  spec = {
    "vectors": VECTORS,
    "counts": {"loc": (0.0,) * 3, "scale": (1.0,) * 3},
  }
  run = trained(*CASES[request.param], **spec.get(request.param, {}))
  rng, shape = np.random.default_rng(1), run.model.vae.image_shape
  if run.design.spec.loc:
    images = rng.poisson(3, (3, 3)).astype(np.float32)
  else:
    images = rng.integers(0, 256, (3, *shape), np.uint8)
  if request.param in ("conv28", "gated"):  # else they are drawn
    images = 255 * (images > 127).astype(np.uint8)
  loc, log_var = run.encode(images)
  resp = run.responsibilities(loc, log_var)
  z = rng.normal(size=(3, 5)).astype(np.float32)
  return run, images, (loc, log_var, *resp), z, run.decode(z)


@pytest.mark.parametrize("format", FORMATS)
def test_the_files_compute_what_the_model_does(case, format, tmp_path):
  run, images, described, z, decoded = case
  dtype = "float32" if run.model.vae.image_shape[-1] == 2 else "uint8"
  files = run.export(tmp_path / "new" / "folder", format, dtype=dtype)
  folder = tmp_path / "new" / "folder"
  assert sorted(files) == sorted(path.name for path in folder.iterdir())
  encode, decode = (of_jax if format == "jax" else of_onnx)(folder)
  given = images
  if dtype == "float32" and images.dtype == np.uint8:
    given = images / np.float32(255)
  names = ["loc", "log_var", "responsibilities_0", "responsibilities_1"]
  tolerance = dict.fromkeys(
    ("rtol", "atol"), 1e-5 if format == "onnx" else 1e-6
  )
  for num in (3, 1) if format == "onnx" else (2,):
    found = encode(given[:num])
    assert sorted(found) == names
    for name, value in zip(names, described, strict=True):
      np.testing.assert_allclose(
        found[name], value[:num], **tolerance, err_msg=name
      )
    np.testing.assert_allclose(
      decode(z[:num])["images"], decoded[:num], **tolerance
    )
  kept = json.loads((folder / "model.json").read_text())
  taken = kept["encoder"]["inputs"]["images"]
  assert taken["shape"] == ["batch", *images.shape[1:]]
  assert taken["dtype"] == given.dtype.name
  assert kept["decoder"]["outputs"]["images"]["shape"][1:] == [
    *decoded.shape[1:]
  ]
  assert [f["components"] for f in kept["factors"]] == [
    ["0", "1", "2"],
    ["0", "1"],
  ]


def test_what_is_wrong_costs_a_sentence(tmp_path):
  run = trained(*CASES["mlp"])
  for options, message in (
    ({"format": "tflite"}, r"format must be one of .*'onnx'\), got 'tflite'"),
    ({"dtype": "float16"}, "dtype must be one of .*, got 'float16'"),
  ):
    with pytest.raises(ValueError, match=message):
      run.export(tmp_path / "out", **options)
  of_seven = trained({"name": f"{__name__}:of_seven"}, (10, 10, 3))
  with pytest.raises(ValueError, match="cannot be exported to jax with a free"):
    of_seven.export(tmp_path / "out")
  assert not (tmp_path / "out").exists()


def of_seven(latent_dim, image_shape, channels):
  """A pair that cannot think of a free batch size."""
  encoder, decoder = transposed(latent_dim, image_shape, channels)

  def looks(x):
    return x if x.shape[0] > 7 else x + 1

  return nn.Sequential([looks, *encoder.layers]), decoder
