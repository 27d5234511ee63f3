"""`fmvae.fit`: the launch's training, from arrays."""

import json

import jax
import numpy as np
import pytest

import fmvae
from fmvae import data
from tests.named import few_shapes

TINY = {"network": {"name": "mlp", "hidden": (8,)}, "log_every": 4}


def test_arrays_become_a_trained_model(tmp_path):
  found = few_shapes("shapes", "test")
  names = np.array(found.value_names["colour"])[found.features["colour"]]
  names[:20] = ""  # unknown
  model = fmvae.fit(
    found.images / np.float32(255),
    labels={"colour": names},
    factors=((4, 4), (6, 3)),
    steps={"joint": 4},
    workdir=tmp_path / "run",
    init_encodings=40,
    **TINY,
  )
  assert (model.step, model.total) == (4, 4)
  assert model.factors[0].name == "colour"
  assert model.factors[0].components == ("blue", "green", "red", "yellow")
  assert model.sample(2, {"colour": "red"}).shape == (2, 32, 32, 3)
  kept = json.loads((tmp_path / "run" / "data.json").read_text())
  assert (kept["num_train"], kept["num_test"]) == (54, 6)
  whole = data.from_arrays(found.images)
  _, test = data.hold_out(whole, 0.1, seed=0)
  result = json.loads((tmp_path / "run" / "results.json").read_text())
  np.testing.assert_allclose(
    model.score(test.images).mean(), result["bound"], rtol=1e-6
  )
  again = fmvae.load(tmp_path / "run")
  jax.tree.map(
    np.testing.assert_array_equal, model.state.params, again.state.params
  )
  with pytest.raises(ValueError, match="were arrays of another program"):
    data.load("arrays", "test")


def test_vectors_train_and_keep_their_units(tmp_path):
  rng, workdir = np.random.default_rng(0), tmp_path / "run"
  vectors = rng.normal([1000, 0, -7], [50, 1e-3, 1], (60, 3))
  model = fmvae.fit(
    vectors,
    factors=((2, 2),),
    steps={"joint": 4},
    workdir=workdir,
    init_encodings=40,
    **TINY,
  )
  assert repr(model).startswith("Trained(arrays, step 4 of 4, vectors of 3, L")
  again = fmvae.load(workdir)
  kept = json.loads((workdir / "data.json").read_text())
  assert kept["loc"] == list(again.design.spec.loc)
  np.testing.assert_allclose(kept["loc"], [1000, 0, -7], rtol=0.1, atol=1)
  np.testing.assert_allclose(kept["scale"], [50, 1e-3, 1], rtol=0.4)
  loc, _ = again.encode(vectors)
  assert loc.shape == (60, 2)
  np.testing.assert_array_equal(loc, model.encode(np.float32(vectors))[0])
  raw = again.model.render(again.state, loc)
  decoded = again.decode(loc)
  np.testing.assert_allclose(
    decoded,
    np.asarray(raw)[:, 0, 0] * kept["scale"] + np.array(kept["loc"]),
    rtol=1e-5,
  )
  np.testing.assert_array_equal(again.reconstruct(vectors), decoded)
  assert again.sample(2, {0: 1}).shape == (2, 3)
  assert np.isfinite(again.score(vectors)).all()
  assert not (workdir / "samples.png").exists()
  with pytest.raises(ValueError, match=r"must be \[N, 3\], got"):
    again.encode(vectors[:, :2])
  for wrong, message in (
    ({"loc": [0.0]}, "above 0, need 3 numbers each"),
    ({"scale": [1.0, 0.0, 1.0]}, "above 0, need 3 numbers each"),
    ({"scale": [1.0, "1", 1.0]}, "'1' is no finite float"),
  ):
    (workdir / "data.json").write_text(json.dumps(kept | wrong))
    with pytest.raises(ValueError, match=message):
      fmvae.load(workdir)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"learning_rates": 1}, "config.learning_rates is not a field; config"),
    ({"dataset": {"nme": 1}}, "config.dataset.nme is not a field; config.data"),
    ({"factors": ((4, 0),)}, r"config.factors\[0\] = \(D, K\) must be"),
    ({"factors": (4, 4)}, "config.factors must be a tuple of"),
    ({"steps": "all"}, "steps must be an integer, or one for each phase"),
    ({"steps": -1}, "config.steps.pretrain must be an integer"),
    ({"test_fraction": 2}, r"test_fraction must be in \(0, 1\), got 2"),
    ({"labels": {"a": [1, 2]}}, "must be one for each of 60 images, got 2"),
    ({"batch_size": 64}, "config.batch_size = 64 is more than the 54"),
    ({"network": {"name": "vgg"}}, "vgg"),
    ({"dataset": {"size": 0}}, "config.dataset.size must be None or an"),
  ],
)
def test_what_is_wrong_costs_a_sentence(options, message, tmp_path):
  images = few_shapes("shapes", "test").images
  with pytest.raises(ValueError, match=message):
    fmvae.fit(images, workdir=tmp_path / "run", **options)
  assert not (tmp_path / "run").exists()
