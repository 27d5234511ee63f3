"""Networks, likelihoods and priors of a user's own files, from docs/."""

import importlib
import json
import pathlib
import re
import sys
import textwrap

import jax
import numpy as np
import pytest

import fmvae
from fmvae import likelihoods, networks
from fmvae.model import priors

TEXT = (pathlib.Path(__file__).parents[2] / "docs/own_model.md").read_text()
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
FEW = {
  "factors": ((3, 2),),
  "log_every": 2,
  "batch_size": 8,
  "init_encodings": 8,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """The page's files, in a folder on Python's path."""
  folder = tmp_path_factory.mktemp("files")
  for block in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", TEXT, re.DOTALL):
    (folder / f"{block[0]}.py").write_text(block[1])
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(folder)
    yield folder


@pytest.fixture(autouse=True)
def as_users_broadcast():
  with jax.numpy_rank_promotion("allow"):
    yield


def write(folder, name, text):
  (folder / f"{name}.py").write_text(textwrap.dedent(text))
  importlib.invalidate_caches()


def test_the_pages_files_train_and_are_loaded_again(files, tmp_path):
  laplace, linen_pair, mixture = map(
    importlib.import_module, ("laplace", "linen_pair", "mixture")
  )
  first, second = tmp_path / "first", tmp_path / "second"
  model = fmvae.fit(
    IMAGES,
    network={"name": linen_pair.make, "width": 4},
    likelihood=laplace.Laplace,
    prior=mixture.make,
    steps={"joint": 4},
    workdir=first,
    **FEW,
  )
  centres = model.state.params["prior"]
  assert centres.shape == (8, 3)
  assert np.any(model.state.opt_state[0].mu["prior"] != 0)  # it is trained
  kept = json.loads((first / "config.json").read_text())
  assert kept["network"] == {"name": "linen_pair:make", "width": 4}
  assert kept["likelihood"] == "laplace:Laplace"
  of_nnx = fmvae.fit(
    IMAGES,
    network="nnx_pair:make",
    prior="standard_normal",
    steps={"joint": 2},
    workdir=second,
    **FEW,
  )
  assert set(of_nnx.state.params["encoder"]) == {
    "layers/1/bias",
    "layers/1/kernel",
  }
  for trained, workdir in ((model, first), (of_nnx, second)):
    again = fmvae.load(workdir)
    # Equal: what is compiled for one serves the other.
    assert again.model == trained.model
    assert hash(again.model) == hash(trained.model)
    np.testing.assert_array_equal(
      again.reconstruct(IMAGES[:3]), trained.reconstruct(IMAGES[:3])
    )
    assert again.sample(2).shape == (2, 6, 6, 3)
    assert np.isfinite(again.score(IMAGES)).all()
  del sys.modules["nnx_pair"]
  there, moved = files / "nnx_pair.py", files / "moved.txt"
  there.rename(moved)
  importlib.invalidate_caches()
  with pytest.raises(
    ValueError,
    match=r"config.json: config.network.name = 'nnx_pair:make' needs the "
    r"module 'nnx_pair', which is not there: put the folder .* on PYTHONPATH$",
  ):
    fmvae.load(second)
  moved.rename(there)
  importlib.invalidate_caches()


NETWORKS = """
  import functools
  import jax, jax.numpy as jnp, numpy as np
  from flax import linen as nn, nnx

  class Encoder(nn.Module):
    layers: tuple = ()
    dtype: type = None
    params: type = jnp.float32
    outputs: int = 2

    @nn.compact
    def __call__(self, x):
      for layer in self.layers:
        x = layer(x)
      x = nn.Dense(6, dtype=self.dtype, param_dtype=self.params)(
        x.reshape(len(x), -1)
      )
      return jnp.split(x, self.outputs, -1)

  class Decoder(nn.Module):
    num: int

    @nn.compact
    def __call__(self, z):
      return nn.Dense(36 * self.num)(z).reshape(-1, 6, 6, self.num)

  class Norm(nnx.Module):
    def __init__(self, *, rngs):
      self.norm = nnx.BatchNorm(36, rngs=rngs)
      self.dropout = nnx.Dropout(0.5, rngs=rngs)

  class Grid(nnx.Module):
    def __init__(self, *, rngs):
      self.grid = jnp.linspace(0, 1, 36)
      self.scale = nnx.Param(jnp.ones(1))

    def __call__(self, x):
      return jnp.split((self.grid * self.scale)[None, :6], 2, -1)

  def of(*layers, **options):
    def make(latent_dim, image_shape, channels):
      return Encoder(layers, **options), Decoder(channels)
    return make

  right = of(nn.GroupNorm(1))
  batch_norm = of(nn.BatchNorm(use_running_average=False))
  dropout = of(nn.Dropout(0.5, deterministic=False))
  half = of(dtype=jnp.bfloat16)
  half_params = of(params=jnp.float16)
  three = of(outputs=3)
  boxed = of(nn.Dense(2, kernel_init=nn.with_partitioning(nn.zeros, ("a",))))
  joined = of(lambda x: x.reshape(1, -1))
  broken = of(lambda x: x @ x)
  number = 7

  def no_pair(*_):
    return Encoder()

  def no_module(*_):
    return Encoder(), 3

  def built(*_):
    return nnx.Linear(3, 3, rngs=nnx.Rngs(0)), Decoder(2)

  def norm(*_):
    return Norm, Decoder(2)

  def grid(*_):
    return Grid, Decoder(2)

  def channels(*_):
    return Encoder(), Decoder(3)

  def plain(*_):
    return Encoder(), nn.Sequential([lambda z: z])

  def refuses(*_):
    raise ValueError("only for 28x28")

  def fails(*_):
    return {}["a"]

  def with_options(latent_dim, image_shape, channels, width):
    return of()(latent_dim, image_shape, channels)
"""
INSTEAD = "use GroupNorm or LayerNorm in place of BatchNorm, and no dropout"


@pytest.mark.parametrize(
  ("attribute", "message"),
  [
    ("batch_norm", f"encoder has variables batch_stats .*: {INSTEAD}"),
    ("dropout", f"the encoder asks for random numbers: {INSTEAD}"),
    ("norm", f"has variables BatchStat, RngCount, RngKey .*: {INSTEAD}"),
    ("grid", "Grid.grid is an array that is no nnx.Param: make it in __call__"),
    ("half", "the encoder must return float32, got bfloat16"),
    ("half_params", r"float32 params, got float16 at Dense_0/\w+$"),
    (
      "three",
      r"\(loc, log_var\), each \[5, 3\], of images \[5, 6, 6, 1\]",
    ),
    ("boxed", "must have params in plain dicts, without partitioning"),
    ("joined", r"the encoder cannot take a batch \[5, 6, 6, 1\]: Scope"),
    ("broken", r"cannot be made for \[1, 6, 6, 1\]: TypeError: dot_general"),
    ("no_pair", r"it must return \(encoder, decoder\), got Encoder"),
    ("no_module", "the decoder must be a Linen module, or what makes an nnx"),
    ("built", "when it is called with rngs=, .*, got an object of Linear"),
    ("channels", r"the decoder must return \[5, 6, 6, 2\] of z \[5, 3\], with"),
    ("plain", "the decoder must have params, and has none"),
    ("refuses", "^name = 'pairs:refuses' failed: only for 28x28$"),
    ("fails", "^name = 'pairs:fails' failed: KeyError: 'a'$"),
    ("number", "must be a function or a class, got int"),
    ("missing", "the module 'pairs' has no 'missing'"),
    ("with_options", "arguments are .*: missing a required argument: 'width'"),
  ],
)
def test_a_pair_that_is_none_costs_a_sentence(files, attribute, message):
  if not (files / "pairs.py").exists():
    write(files, "pairs", NETWORKS)
  options = {"latent_dim": 3, "image_shape": (6, 6, 1), "channels": 2}
  with pytest.raises(ValueError, match=message):
    networks.make(f"pairs:{attribute}", **options)
  right = networks.make("pairs:right", **options)
  assert right == networks.make("pairs:right", **options)
  assert right != networks.make("pairs:right", **options | {"channels": 4})


def test_a_half_sees_one_batch_axis_whatever_there_is(files):
  options = {"latent_dim": 3, "image_shape": (6, 6, 3), "channels": 3}
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 6, 3)).astype("float32")
  for name in ("linen_pair:make", "nnx_pair:make"):
    vae = networks.make(name, **options)
    init, encode = jax.jit(vae.init), jax.jit(vae.encode)
    params = init(jax.random.key(0))
    loc, log_var = encode(params, x)
    assert loc.shape == log_var.shape == (2, 4, 3)
    one, _ = encode(params, x[1, 2])
    np.testing.assert_allclose(one, loc[1, 2], rtol=1e-4, atol=1e-5)
    raw = jax.eval_shape(vae.decode, params, loc)
    assert raw.shape == (2, 4, 6, 6, 3)
    other, _ = encode(init(jax.random.key(1)), x)
    assert np.abs(other - loc).max() > 0.1


def test_modules_that_cannot_be_imported_are_named(files):
  write(files, "needs", "import no_such_package\n")
  write(files, "raises", "raise RuntimeError('no display')\n")
  for name, message in (
    ("elsewhere:make", "needs the module 'elsewhere', which is not there: put"),
    (
      "needs.part:make",
      "importing 'needs.part' failed .ModuleNotFoundErro",
    ),
    ("needs:make", "failed .ModuleNotFoundError: No module named 'no_such_pac"),
    ("raises:make", "importing 'raises' failed .RuntimeError: no display"),
    (
      "./raises.py:make",
      "must be 'module:attribute' .* got './raises.py:m",
    ),
    ("raises:", "must be 'module:attribute' for a Python object"),
  ):
    with pytest.raises(ValueError, match=message):
      networks.check(name, {})
    with pytest.raises(ValueError, match=message):
      likelihoods.get(name)
    with pytest.raises(ValueError, match=message):
      priors.make(name, latent_dim=3, factors=(), hyperprior={}, image_shape=())


def test_likelihoods_and_priors_that_are_none_cost_a_sentence(files):
  write(
    files,
    "parts",
    """
    import dataclasses
    from laplace import Laplace
    from mixture import Mixture, make
    from fmvae.model.priors import FactorialMixture

    class Bare:
      range, binary, counts = (0, 1), True, False
      channels = mean = lambda self, raw: raw

    class Binary(Laplace):
      binary = 1

    class Range(Laplace):
      range = (1, 1)

    class Summed(Laplace):
      log_prob = lambda self, raw, x: (raw - x).sum((-2, -1))

    class Fails(Laplace):
      def mean(self, raw):
        return raw.reshape(7)

    def a_class(**_):
      return Mixture

    def of(**members):
      kind = type("Mine", (Mixture,), members)
      return lambda latent_dim, **_: kind(latent_dim)

    right = lambda latent_dim, factors, **_: FactorialMixture(factors)
    lacks = lambda **_: Bare()
    started = of(init=lambda self, key: None)
    density = of(log_prob=lambda self, variables, z: z)
    shown = of(factors=((3, 2),))
    costs = of(costs=lambda self, *_: 0)
    updates = of(updates=True, update=lambda self, variables, *_, **__: 1.0)
    again = of(init_from=lambda self, key, variables, loc, *_: (loc, None))
    fails = of(sample=lambda self: 0)
    strict = lambda latent_dim: Mixture(latent_dim)
    """,
  )
  for name, message in (
    ("Bare", "Bare lacks log_prob, std, sample of the protocol fmvae.likelih"),
    ("Binary", "likelihood = 'parts:Binary': binary must be True or False"),
    ("Range", r"range must be two numbers, \(lowest, highest\), got \(1, 1\)"),
    ("Summed", r"log_prob must return float32 \[5\] for images \[5, 6, 6, 3\]"),
    ("Fails", "mean failed: TypeError: cannot reshape"),
    ("a_class", "parts:a_class': it must return an object, got the class Mix"),
  ):
    with pytest.raises(ValueError, match=message):
      likelihoods.check(f"parts:{name}", (6, 6, 3))
  fields = {
    "latent_dim": 3,
    "factors": ((1, 2), (2, 3)),
    "hyperprior": {},
    "image_shape": (6, 6, 3),
  }
  for name, message in (
    ("lacks", "Bare lacks factors, updates, init, init_from, costs, update"),
    ("a_class", "it must return an object, got the class Mixture"),
    ("started", r"prior = 'parts:started': init must return \(params, state\)"),
    ("density", r"log_prob must return float32\[5\] for 5 points, got float32"),
    ("shown", "costs must return Costs"),
    ("costs", "costs must return fmvae.model.priors.Costs, got Shape"),
    ("updates", "update must return None for 5 points, got float32"),
    ("again", "init_from must return .*8, 3.*, got .*5, 3"),
    ("fails", "sample failed: TypeError"),
    (
      "strict",
      "called as .latent_dim=.., factors=.., hyperprior=.., image_shape=",
    ),
  ):
    with pytest.raises(ValueError, match=message):
      priors.make(f"parts:{name}", **fields)
  right = priors.make("parts:right", **fields)
  assert right == priors.FactorialMixture(fields["factors"])
  assert priors.make("mixture:make", **fields) is priors.make(
    "mixture:make", **fields
  )


def test_fit_takes_what_can_be_found_again(files):
  for wrong in (lambda *_: None, Local):
    for field in ("network", "likelihood", "prior"):
      with pytest.raises(ValueError, match=f"{field} must be a function or a"):
        fmvae.fit(IMAGES, **{field: wrong})


def _local():
  class Here:
    pass

  return Here


Local = _local()
