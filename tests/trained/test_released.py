"""Models to give away: a small folder, and those that come with the package."""

import gzip
import pathlib
import re

import jax
import numpy as np
import pytest

import fmvae

RELEASED = pathlib.Path(fmvae.__file__).parent / "released"


def test_a_folder_of_weights_is_the_model(tiny, tmp_path):
  model = fmvae.load(tiny[1])
  images = tiny[0].test.images[:20]
  model.release(tmp_path / "given" / "away")
  files = sorted(path.name for path in (tmp_path / "given/away").iterdir())
  assert files == ["config.json", "data.json", "weights.npz"]
  released = fmvae.load(tmp_path / "given/away")
  assert repr(released) == repr(model)
  jax.tree.map(
    np.testing.assert_array_equal, released.state.prior, model.state.prior
  )
  np.testing.assert_allclose(
    released.encode(images)[0], model.encode(images)[0], atol=0.01
  )
  np.testing.assert_allclose(
    released.score(images).mean(), model.score(images).mean(), rtol=1e-3
  )
  released.edit(images, {"colour": "red"})
  released.sample(3, {"shape": "disc"})
  released.release(tmp_path / "given" / "away")  # in the place of the first


def test_an_array_that_float16_cannot_hold_stays(tiny, tmp_path):
  model = fmvae.load(tiny[1])
  large = jax.tree.map(lambda x: x * 0 + 1e5, model.state.params)
  type(model)(model.design, model.state.replace(params=large)).release(tmp_path)
  found = fmvae.load(tmp_path).state.params
  jax.tree.map(np.testing.assert_array_equal, found, large)


def test_what_is_no_released_model(tiny, tmp_path):
  model = fmvae.load(tiny[1])
  with pytest.raises(ValueError, match="holds a run; release"):
    model.release(tiny[1])
  with pytest.raises(
    ValueError, match=r"nonsense holds no run.* comes with fmvae: .*mnist"
  ):
    fmvae.load("nonsense")
  model.release(tmp_path)
  with pytest.raises(ValueError, match="checkpoint must be 'newest' of a rel"):
    fmvae.load(tmp_path, "best")
  content = (tmp_path / "weights.npz").read_bytes()
  for damaged in (content[:-100], bytes(len(content)), content[:2000] + b"x"):
    (tmp_path / "weights.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"weights\.npz cannot be read"):
      fmvae.load(tmp_path)
  np.savez(tmp_path / "weights.npz", step=np.int32(1))
  with pytest.raises(ValueError, match=r"must hold the model of its config"):
    fmvae.load(tmp_path)


class TestMnist:
  """The model that comes along."""

  def test_it_draws_what_it_is_asked_for_and_knows_it_again(self):
    model = fmvae.load("mnist")
    (factor,) = model.factors
    largest = np.argsort(-factor.share)[:8]
    pictures = model.sample(8, largest[:, None])
    assert np.mean(model.codes(pictures)[:, 0] == largest) >= 0.75
    error = np.abs(model.reconstruct(pictures) - pictures).mean()
    assert error < 0.05
    assert sum(p.stat().st_size for p in RELEASED.rglob("*.npz")) < 4e6

  def test_its_bound_is_the_recorded_one(self, real_files):
    path = real_files / "mnist" / "t10k-images-idx3-ubyte.gz"
    with gzip.open(path) as file:
      images = np.frombuffer(file.read(), np.uint8, offset=16)
    images = images.reshape(-1, 28, 28)
    text = (RELEASED / "README.md").read_text()
    (recorded,) = re.findall(r"\| mnist, .* (-[\d.]+) \| [\d.]+ MB \|", text)
    bound = fmvae.load("mnist").score(images).mean()
    # In the order of the file an image has other noise than in TFDS's.
    np.testing.assert_allclose(bound, float(recorded), atol=0.05)
