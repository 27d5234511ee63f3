"""A trained model as an object, on a tiny run."""

import dataclasses
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from matplotlib import pyplot as plt

import fmvae
from experiments import digits
from fmvae import data, evaluation, experiment, prior
from fmvae.trained import Trained

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tiny):
  return fmvae.load(tiny[1])


def test_what_it_says_of_itself(model):
  lines = repr(model).splitlines()
  assert lines[0] == "Trained(shapes, step 12 of 12, images 32x32x3, L = 10)"
  assert lines[1].startswith("  Factor shape: D = 2, K = 3, 3 used: ")
  names = [factor.name for factor in model.factors]
  assert names == ["shape", "colour", "size", "3", "4"]
  assert model.factors[1].components == ("red", "green", "blue", "yellow")
  assert model.factors[3].components == tuple("01234")
  for factor in model.factors:
    np.testing.assert_allclose(factor.share.sum(), 1, rtol=1e-5)


def test_its_numbers_are_those_of_the_evaluation(tiny, model):
  exp, _ = tiny
  test = exp.test
  result = evaluation.evaluate(
    model.model, model.state, test, num_data=len(exp.train)
  )
  scores = model.score(test.images)
  assert scores.shape == (60,)
  np.testing.assert_allclose(scores.mean(), result.bound, rtol=1e-6)
  drawn = [model.score(test.images, seed=s) for s in (0, 0, 1)]
  np.testing.assert_array_equal(drawn[0], drawn[1])
  assert (drawn[0] != drawn[2]).all()
  resp, codes = model.assign(test.images), model.codes(test.images)
  assert [gamma.shape[1] for gamma in resp] == [3, 4, 2, 5, 12]
  assert tuple(len(set(k)) for k in codes.T) == result.chosen
  (properties,) = (
    s for s in result.scores if isinstance(s, evaluation.PropertyScores)
  )
  for i, matrix in enumerate(properties.matrices):
    right = codes[:, i] == test.features[matrix.feature]
    np.testing.assert_allclose(np.mean(right), matrix.accuracy)
  loc, log_var = model.encode(test.images)
  of_state = jax.jit(prior.responsibilities)(model.state.prior, loc, log_var)
  for ours, theirs in zip(resp, of_state, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_batches_of_any_size_and_floats_are_the_same_images(tiny, model):
  images = tiny[0].train.images[:503]  # more than go at once
  loc, log_var = model.encode(images)
  assert loc.shape == log_var.shape == (503, 10)
  for some in (slice(0, 7), slice(498, 503)):
    few = model.encode(images[some] / np.float32(255))
    np.testing.assert_allclose(few[0], loc[some], atol=1e-5)
    np.testing.assert_allclose(few[1], log_var[some], atol=1e-5)
  decoded = model.decode(loc)
  assert (decoded.shape, decoded.dtype) == ((503, 32, 32, 3), np.float32)
  assert 0 <= decoded.min() <= decoded.max() <= 1
  np.testing.assert_allclose(
    model.reconstruct(images[:3]), decoded[:3], atol=1e-5
  )


def test_samples_are_those_of_the_prior(model):
  chosen = np.full((4, 5), -1)
  chosen[:, 1], chosen[:, 3] = [0, 1, 1, 3], 2
  drawn = model.model.draw(model.state, jax.random.key(3), chosen)
  colours = ["red", "green", 1, "yellow"]
  for components in (
    {"colour": colours, 3: 2},
    {1: colours, "3": "2"},
    (None, colours, None, 2, None),
    chosen,
  ):
    np.testing.assert_allclose(
      model.sample(4, components, seed=3), model.model.to_unit(drawn)
    )
  np.testing.assert_array_equal(model.sample(2), model.sample(2, seed=0))
  np.testing.assert_array_equal(
    model.sample(2, seed=5), model.sample(2, seed=jax.random.key(5))
  )


def test_an_edit_changes_what_it_names(tiny, model):
  images = tiny[0].test.images[:20]
  loc, _ = model.encode(images)
  codes, f = model.codes(images), model.state.prior.factors[1]
  other = codes[:, 1] != 2
  assert 0 < other.sum() < 20
  wanted = loc.copy()
  wanted[other, 2:4] = f.m[2]
  edited = model.edit(images, {"colour": "blue"})
  np.testing.assert_allclose(edited, model.decode(wanted), atol=1e-6)
  kept = model.edit(images, codes)  # what they have already
  np.testing.assert_allclose(kept, model.reconstruct(images), atol=1e-6)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda m: m.encode(np.zeros((2, 3, 32, 32))), "channels last"),
    (lambda m: m.score(np.full((2, 32, 32, 3), 200.0)), r"in \[0, 1\], got"),
    (lambda m: m.decode(np.zeros((2, 4))), r"z must be \[N, 10\], got"),
    (lambda m: m.sample(0), "num must be an integer of at least 1, got 0"),
    (lambda m: m.sample(1, {"form": 0}), "factors .'shape', .*, got 'form'"),
    (lambda m: m.sample(1, {"colour": "pink"}), "red, green, .*, got 'pink'"),
    (lambda m: m.sample(1, {"colour": 4}), "factor colour has .*, got 4"),
    (lambda m: m.sample(1, {"size": True}), "factor size has .*, got True"),
    (lambda m: m.sample(3, {3: [0, 1]}), "components of 3 must be one or 3"),
    (lambda m: m.sample(1, "red"), "one for each of 5 factors, or a mapping"),
    (lambda m: m.sample(2, np.zeros((3, 5), int)), r"must be \[2, 5\], got"),
    (lambda m: m.score(np.zeros((1, 32, 32, 3)), num_samples=0), "num_samples"),
  ],
)  # fmt: skip
def test_what_is_wrong_costs_a_sentence(model, call, message):
  with pytest.raises(ValueError, match=message):
    call(model)


def test_before_the_mixture_there_are_encodings_and_pictures(tiny):
  exp, workdir = tiny
  early = fmvae.load(workdir, checkpoint=2)
  assert early.factors == ()
  assert repr(early).startswith("Trained(shapes, step 2 of 12")
  images = exp.test.images[:2]
  assert early.encode(images)[0].shape == (2, 10)
  assert early.sample(2).shape == images.shape
  for call in (
    lambda: early.codes(images),
    lambda: early.edit(images, {0: 0}),
    lambda: early.sample(1, {0: 0}),
  ):
    with pytest.raises(ValueError, match="mixture begins after step 4"):
      call()


def test_images_are_binarised_as_those_of_the_test_set(prepared):
  config = digits.get_config("smoke")
  config.network.hidden = (8,)
  config.dataset.binarisation = "dynamic"
  exp = experiment.build(config, data_dir=prepared)
  state = experiment.init(exp)
  raw = data.load("uci_digits", "test", data_dir=prepared).images
  model = Trained(exp, state)  # under N(0, I)
  result = evaluation.evaluate(
    model.model, state, exp.test, num_data=len(exp.train)
  )
  for images in (raw, raw[..., 0], raw / 255):
    np.testing.assert_allclose(
      model.score(images).mean(), result.bound, rtol=1e-6
    )


def test_the_workdir_is_enough_and_what_is_wrong_in_it_is_named(tiny, tmp_path):
  exp, there = tiny
  workdir = shutil.copytree(there, tmp_path / "run")
  kept = json.loads((workdir / "data.json").read_text())
  assert kept["num_train"] == 600
  assert fmvae.load(str(workdir)).design.spec == exp.spec
  with pytest.raises(ValueError, match=r"one of the steps \[2, 12\], got 3"):
    fmvae.load(workdir, 3)
  fewer = dataclasses.replace(exp.spec, properties=exp.spec.properties[:1])
  for text, message in (
    ("{", r"data.json cannot be read \(JSON"),
    ("[]", r"data.json cannot be read \(ValueError: it holds no"),
    (json.dumps(kept | {"num_train": -1}), "-1 is no count"),
    (json.dumps(kept | {"image_shape": [32, 32]}), "cannot be read"),
    (json.dumps(dataclasses.asdict(fewer)), "data.json: config.dataset.labels"),
    (None, "has no data.json, .* launch.train --workdir=.* writes it"),
  ):
    path = workdir / "data.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ValueError, match=message):
      fmvae.load(workdir)


def test_the_lines_of_the_readme(tiny, tmp_path, monkeypatch):
  text = (ROOT / "README.md").read_text()
  blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  (code,) = (block for block in blocks if "fmvae.load(" in block)
  (tmp_path / "runs").mkdir()
  shutil.copytree(tiny[1], tmp_path / "runs" / "shapes")
  picture = tiny[0].test.images[0]
  plt.imsave(tmp_path / "picture.png", picture)
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(code, names)
  assert plt.imread("red.png").shape == (32, 32, 4)
  np.testing.assert_array_equal(
    names["model"].encode(names["picture"][None])[0],
    names["model"].encode(picture[None])[0],
  )
