"""Every experiment takes its twelve smoke steps, on random images."""

import importlib
import json

import jax
import numpy as np
import pytest

from fmvae import data, evaluation, experiment
from fmvae.training import loop
from tests.test_config import CONFIGS

SHAPES = {
  "uci_digits": (8, 8, 1),
  "mnist": (28, 28, 1),
  "omniglot": (28, 28, 1),
  "celeb_a": (64, 64, 3),
  "shapes": (32, 32, 3),
}
NUM_VALUES = {
  "celeb_a": {"Male": 2, "Eyeglasses": 2, "Smiling": 2, "Young": 2},
  "shapes": {"shape": 3, "colour": 4, "size": 2, "frame": 3},
}


# Of MNIST as many as Omniglot's configs leave when they split anew, so that
# equal models are compiled once.
SIZES = {"mnist": (256, 20)}


def random_images(name, split, **_):
  rng = np.random.default_rng(0)
  size = SIZES.get(name, (300, 9))[split != "train"]
  images = rng.integers(0, 256, (size, *SHAPES[name]), dtype=np.uint8)
  features = {
    feature: rng.integers(0, num, size).astype(np.int32)
    for feature, num in NUM_VALUES.get(name, {}).items()
  }
  return data.ImageSet(images, features, name, split)


def run(config, workdir, **sources):
  exp = experiment.build(config, **sources)
  devices = jax.devices()[:1]
  loop.prepare(exp, workdir, devices)
  result = loop.train(exp, workdir, devices)
  assert np.isfinite(result.bound)
  assert result.num_components == tuple(k for _, k in config.factors)
  assert (workdir / "samples.png").exists()
  named = [entry[1] for entry in config.dataset.labels]
  scores = {type(score): score for score in result.scores}
  assert (evaluation.PropertyScores in scores) == bool(named)
  assert (evaluation.UnnamedScores in scores) == bool(named)
  if named:
    matrices = scores[evaluation.PropertyScores].matrices
    assert [matrix.feature for matrix in matrices] == named
    unnamed = scores[evaluation.UnnamedScores].best
    assert set(unnamed) == set(exp.test.features) - set(named)
  written = json.loads((workdir / "results.json").read_text())
  assert list(written["named"]) == named


@pytest.mark.parametrize("name", CONFIGS)
def test_config_runs(name, tmp_path):
  config = importlib.import_module(f"experiments.{name}").get_config("smoke")
  if config.network.name == "conv64":
    config.network.width = 4  # 27,857,670 parameters are for another machine
  run(config, tmp_path, load=random_images)


def test_real_mnist(mnist, tmp_path):
  config = importlib.import_module("experiments.mnist_mlp").get_config("smoke")
  run(config, tmp_path / "run", data_dir=mnist)
