"""The explorer's page, by itself and in a real browser."""

import base64
import dataclasses
import functools
import html
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from experiments import mnist_mlp
from experiments import shapes as shapes_config
from fmvae import data, experiment, explorer, networks
from fmvae.experiment import DataSpec
from fmvae.explorer import packing
from fmvae.explorer.program import trace
from fmvae.model import Property
from fmvae.trained import Trained
from tests import named
from tests.explorer import chromium

ROOT = pathlib.Path(__file__).parents[2]
EVIL = "</script><img src=x onerror=alert(1)>"


def untrained(config, spec):
  """A run as after its last step, with components that lie apart."""
  design = experiment.from_spec(config, spec)
  state = experiment.init(design)
  factors = tuple(
    dataclasses.replace(
      f,
      m=f.m * 20,
      b=f.b * 5 * (2 + jnp.arange(len(f.c))[:, None]),
      c=f.c + 1 + jnp.arange(len(f.c)),
    )
    for f in state.prior.factors
  )
  prior = dataclasses.replace(state.prior, factors=factors)
  step = jnp.int32(design.phases[-1].end)
  return Trained(design, state.replace(prior=prior, step=step))


@pytest.fixture(scope="module")
def shapes():
  """Colour pictures and named factors, one of whose names is an attack."""
  config = shapes_config.get_config("smoke")
  config.network = {"name": "mlp", "hidden": (8,)}
  config.latent_dim = 10
  config.factors = ((2, 3), (2, 4), (2, 2), (2, 5), (2, 12))
  properties = tuple(
    Property(i, of, tuple(range(len(names))), names)
    for i, (of, names) in enumerate(
      {
        "shape": (EVIL, "bar", "triangle"),
        "colour": ("red", "green", "blue", "yellow"),
        "size": ("small", "large"),
      }.items()
    )
  )
  spec = DataSpec((32, 32, 3), 600, 60, properties)
  run = untrained(config, spec)
  pictures = named.few_shapes("shapes", "test").images
  return run, explorer.pack(run, pictures).page


@pytest.fixture(scope="module")
def digits():
  """Binary pictures of 28x28 and two factors without names."""
  config = mnist_mlp.get_config("smoke")
  config.network = {"name": "conv", "width": 4}
  config.latent_dim, config.factors = 6, ((4, 4), (2, 3))
  run = untrained(config, DataSpec((28, 28, 1), 100, 10, ()))
  return run, explorer.pack(run).page


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  reason = chromium.missing()
  if reason:
    pytest.skip(reason)
  with chromium.running(tmp_path_factory.mktemp("profile")) as opened:
    yield opened


@pytest.fixture(scope="module")
def opened(page, shapes, digits, tmp_path_factory):
  """Opens the page of one of the two runs."""
  folder = tmp_path_factory.mktemp("pages")

  def visit(of):
    path = folder / f"{of}.html"
    path.write_text({"shapes": shapes, "digits": digits}[of][1])
    page.open(path)
    page.wait("document.getElementById('compose').dataset.shown")
    return page

  return visit


def assert_same_picture(found, unit):
  expected = np.broadcast_to(255 * unit, found.shape)
  np.testing.assert_allclose(found, expected, atol=2)


def test_chosen_components_give_the_models_picture(opened, shapes):
  page, (run, _) = opened("shapes"), shapes
  pictures = []
  for codes in ([1, 2, 0, 3, 7], [0, 3, 1, 4, 11]):
    for i, k in enumerate(codes):
      page.evaluate(
        f"document.querySelector('input[name=factor-{i}][value=\"{k}\"]')"
        ".click()"
      )
    text = ", ".join(
      f"{f.name if i < 3 else f'factor {i}'}: {f.components[codes[i]]}"
      for i, f in enumerate(run.factors)
    )
    page.wait(
      "document.getElementById('compose').dataset.shown === " + json.dumps(text)
    )
    means = zip(run.state.prior.factors, codes, strict=True)
    z = np.concatenate([np.asarray(f.m[k]) for f, k in means])
    pictures.append(page.canvas("#compose .picture"))
    assert_same_picture(pictures[-1], run.decode(z[None])[0])
  assert np.ptp(pictures, 0).max() > 5  # they can be told apart
  # Names of the data are text, and real pictures come with theirs.
  assert EVIL in page.evaluate("document.querySelector('.tiles').textContent")
  found = "document.querySelectorAll('#compose .found button').length"
  assert page.evaluate(found) == 10
  # Sliders move the picture.
  page.evaluate("document.querySelector('.factors details').open = true")
  page.wait("document.querySelector('.factors [type=range]')")
  page.evaluate(
    "(() => { const r = document.querySelector('.factors [type=range]');"
    " r.value = 3; r.dispatchEvent(new Event('input')) })()"
  )
  moved = pictures[-1]
  page.wait("engineIsIdle()")
  assert (page.canvas("#compose .picture") != moved).any()
  # A tab is reached by keyboard, and the grid is drawn.
  page.evaluate("document.getElementById('tab-own').click()")
  page.evaluate("document.getElementById('tab-own').focus()")
  for kind in ("keyDown", "keyUp"):
    page.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight")
  assert page.evaluate("!document.getElementById('grid').hidden")
  assert page.evaluate("document.querySelectorAll('#grid td canvas').length")


def test_a_drawn_digit_is_encoded_as_by_the_model(opened, digits):
  page, (run, _) = opened("digits"), digits
  page.evaluate("document.getElementById('tab-own').click()")
  left, top, width, height = page.evaluate(
    "(() => { const b = document.querySelector('.pad').getBoundingClientRect();"
    " return [b.left, b.top, b.width, b.height] })()"
  )
  seven = [(0.25, 0.2), (0.5, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]
  page.drag([(left + x * width, top + y * height) for x, y in seven])
  turns = "Number(document.getElementById('own').dataset.encoded)"
  page.wait(f"{turns} > 1 && engineIsIdle()")
  seen = page.canvas(".seen")
  assert set(np.unique(seen)) == {0, 255}
  images = seen[None, ..., :1].astype(np.uint8)
  shown = page.evaluate(
    "[...document.querySelectorAll('.bars fieldset')].map(f =>"
    " [...f.querySelectorAll('.bar')].map(b =>"
    " ['.name', '.number'].map(of => b.querySelector(of).textContent)))"
  )
  resp = run.assign(images)
  assert all(gamma.max() < 0.9 for gamma in resp), resp  # all of eq. 5 counts
  for gamma, rows in zip(resp, shown, strict=True):
    found = {
      int(name.removeprefix("component ")): float(
        share.replace("<", "").replace("%", "")
      )
      / 100
      for name, share in rows
    }
    for k, share in found.items():
      np.testing.assert_allclose(share, gamma[0, k], atol=1e-2)
    assert len(found) == gamma.shape[1]
  assert_same_picture(page.canvas(".again"), run.reconstruct(images)[0])
  k = (run.codes(images)[0, 0] + 1) % 4
  page.evaluate(
    "(() => { const s = document.querySelector('.bars select');"
    f" s.value = '{k}'; s.dispatchEvent(new Event('change')) }})()"
  )
  page.wait("engineIsIdle()")
  assert_same_picture(page.canvas(".edited"), run.edit(images, {0: k})[0])


def test_a_picture_file_is_what_the_model_sees(opened, shapes, tmp_path):
  page, (run, _) = opened("shapes"), shapes
  (picture,) = named.few_shapes("shapes", "train").images[7:8]
  Image.fromarray(picture).save(tmp_path / "own.png")
  page.evaluate("document.getElementById('tab-own').click()")
  turn = "Number(document.getElementById('own').dataset.encoded || 0)"
  page.wait("engineIsIdle()")
  before = page.evaluate(turn)
  page.choose("#own [type=file]", tmp_path / "own.png")
  page.wait(f"{turn} > {before} && engineIsIdle()")
  np.testing.assert_array_equal(page.canvas(".seen"), picture)
  codes = run.codes(picture[None])[0]
  said = page.evaluate("document.querySelector('#own .said').textContent")
  assert said.endswith(f"factor 3: {codes[3]}, factor 4: {codes[4]}")
  assert_same_picture(page.canvas(".again"), run.reconstruct(picture[None])[0])


class Odd(nn.Module):
  """Layers that no pair of ours has."""

  @nn.compact
  def __call__(self, x):
    x = nn.Conv(6, (5, 3), 2, feature_group_count=3, kernel_dilation=(1, 2))(x)
    x = nn.GroupNorm(2)(nn.max_pool(nn.gelu(x), (2, 2), (2, 2), "SAME"))
    x = nn.ConvTranspose(5, (4, 4), (3, 2))(nn.silu(nn.LayerNorm()(x)))
    x = nn.elu(nn.avg_pool(x, (3, 3), (1, 1), "SAME"))
    x = nn.softplus(jnp.concatenate([x, x[:, ::-1]], -1))
    y = nn.softmax(x.reshape(-1, 10))
    y = nn.leaky_relu(nn.Dense(7)(y.T @ y))
    return y, jnp.where(x > 0.1, x, x**3)


def all_networks():
  """Names, functions of one array, and such an array."""
  rng = np.random.default_rng(0)

  def like(tree):
    def draw(x):
      return rng.normal(size=x.shape, scale=0.2).astype(np.float32)

    return jax.tree.map(draw, tree)

  def drawn(*shape):
    return rng.normal(size=shape).astype(np.float32)

  odd, x = Odd(), drawn(15, 13, 3)
  params = like(jax.eval_shape(odd.init, jax.random.key(0), x))
  yield "odd", lambda x: odd.apply(params, x), x
  for name, shape, options in (
    ("conv28", (28, 28, 1), {}),
    ("conv64", (32, 32, 3), {"width": 2}),
    ("conv", (19, 30, 3), {"width": 3}),
  ):
    vae = networks.make(
      name, latent_dim=4, image_shape=shape, channels=2, **options
    )
    params = like(jax.eval_shape(vae.init, jax.random.key(0)))
    encode, decode = (
      functools.partial(of, params) for of in (vae.encode, vae.decode)
    )
    yield f"{name} encodes", encode, drawn(*shape)
    yield f"{name} decodes", decode, drawn(4)


def test_the_pages_engine_computes_what_jax_does(opened):
  page = opened("digits")
  page.evaluate(
    "window.runs = engine => program => new Promise((resolve, reject) => {"
    " for (const c of program.constants) c.values = Float32Array.from("
    "   new Float32Array(Uint8Array.from(atob(c.values),"
    "     x => x.charCodeAt(0)).buffer));"
    " engine.onmessage = ({data}) => data.error ? reject(data.error)"
    "   : resolve(data.outputs[0].map(o => [...o]));"
    " engine.postMessage({programs: {p: program}});"
    " engine.postMessage({run: 'p', id: 0, inputs: [program.x]}) });"
    "window.run = runs(new Worker(URL.createObjectURL(new Blob("
    " [document.getElementById('engine').textContent])))); 0"
  )
  for name, function, x in all_networks():
    program = trace(function, x.shape)
    sent = {
      "input_shape": program.input_shape,
      "ops": program.ops,
      "outputs": program.outputs,
      "x": x.ravel().tolist(),
      "constants": [
        {
          "shape": c.shape,
          "values": base64.b64encode(c.tobytes()).decode(),
        }
        for c in program.constants
      ],
    }
    found = page.evaluate(f"run({json.dumps(sent)})")
    expected = jax.jit(function)(x)
    for ours, theirs in zip(found, jax.tree.leaves(expected), strict=True):
      np.testing.assert_allclose(
        np.reshape(ours, theirs.shape),
        theirs,
        atol=1e-5 * (1 + np.abs(theirs).max()),
        err_msg=name,
      )


def test_nothing_leaves_the_page_and_nothing_is_complained_of(page, opened):
  opened("shapes")
  page.wait("engineIsIdle()")
  assert not page.problems
  assert page.requests
  assert all(re.match(r"(file|blob|data):", url) for url in page.requests)
  refused = page.evaluate(
    "fetch('https://example.com').then(() => false, () => true)"
  )
  assert refused
  page.evaluate("console.error('a complaint'), 0")
  assert page.problems  # the list can fill


def test_the_file_holds_what_it_should(shapes, digits):
  text = shapes[1]
  assert EVIL not in text
  assert "default-src 'none'" in text
  assert not re.search(r"(src|href)=.?https?:", text)
  model = json.loads(re.search(r'id="model">(.*?)</script>', text)[1])
  assert model["factors"][0]["names"][0] == EVIL
  assert model["neighbours"]["count"] == 60
  assert 0 < model["error"][0] < 1
  assert html.escape(model["name"]) in text
  assert '"neighbours": null' in digits[1]


def test_the_page_in_the_repository_is_not_an_old_one():
  page = ROOT / "experiments/results/explorer/mnist.html"
  text = page.read_text()
  assert len(text) < 4e6
  for name in ("style.css", "engine.js", *(f"{n}.js" for n in packing._PARTS)):
    again = "run launch.explore again, as the README beside the page says"
    assert packing.read(name) in text, again


def test_components_that_coincide_are_marked(digits):
  run, _ = digits
  first, second = run.state.prior.factors
  same = dataclasses.replace(first, m=10 * first.m.at[3].set(first.m[1]))
  prior = dataclasses.replace(run.state.prior, factors=(same, second))
  twins = Trained(run.design, run.state.replace(prior=prior))
  text = explorer.pack(twins).page
  model = json.loads(re.search(r'id="model">(.*?)</script>', text)[1])
  assert model["factors"][0]["coincide"] == [[1, 3]]


def test_what_no_page_can_hold_is_refused(digits, shapes):
  run, _ = digits
  start = run.state.replace(step=jnp.int32(0))
  with pytest.raises(ValueError, match="its mixture begins after step"):
    explorer.pack(Trained(run.design, start))
  big = {"big": np.broadcast_to(np.float32(0), (packing._MOST_PARAMS + 1,))}
  params = dict(run.state.params)
  params["decoder"] = dict(params["decoder"]) | big
  large = run.state.replace(params=params)
  with pytest.raises(ValueError, match="it takes up to 12,000,000"):
    explorer.pack(Trained(run.design, large))
  with pytest.raises(ValueError, match="the operation 'sort'"):
    trace(jnp.sort, (3,))


def test_whose_pictures_may_be_shown():
  known = {name: data.may_be_shown(name) for name in data.DATASETS}
  assert known.pop("celeb_a") is False
  assert all(known.values())
  assert data.may_be_shown("my_pictures") is None
  explorer.require_shown("my_pictures")
  with pytest.raises(ValueError, match="of celeb_a may not be passed on"):
    explorer.require_shown("celeb_a")
