"""experiments/own.py: what fits the data is chosen, and trains."""

import numpy as np
import pytest

from experiments import own
from fmvae import data, experiment
from fmvae.trained import Trained

_RNG = np.random.default_rng(0)
_NOISE = _RNG.integers(0, 256, (40, 12, 14, 1), dtype=np.uint8)


def build(path, labels=(), **arrays):
  np.savez(path / "a.npz", **arrays)
  config = own.get_config(
    f"data={path}/a.npz,smoke,k=2,labels={'+'.join(labels)}"
  )
  return config, experiment.build(config)


@pytest.mark.parametrize(
  ("images", "likelihood", "binarisation", "network"),
  [
    (_NOISE, "gaussian", "none", "conv"),
    (
      255 * (_NOISE[:, :8, :8] > 99).astype(np.uint8),
      "bernoulli",
      "dynamic",
      "mlp",
    ),
    (_RNG.normal(size=(40, 5)), "free_gaussian", "none", "mlp"),
  ],
)
def test_what_fits_is_chosen_said_and_kept(
  tmp_path, images, likelihood, binarisation, network
):
  config, exp = build(tmp_path, images=images)
  chosen = exp.config
  assert (
    chosen.likelihood,
    chosen.dataset.binarisation,
    chosen.network.name,
  ) == (
    likelihood,
    binarisation,
    network,
  )
  assert config.network.name == "auto"
  assert (len(exp.train), len(exp.test)) == (36, 4)
  said = experiment.describe_data(exp)
  for word in (likelihood, binarisation, network):
    assert word in said.splitlines()[1]
  # Its own config makes the same run.
  again = experiment.build(chosen)
  assert again.model == exp.model
  assert again.config.to_dict() == chosen.to_dict()


def test_one_of_the_two_follows_the_other(tmp_path):
  config, _ = build(tmp_path, images=_NOISE)
  config.likelihood = "bernoulli"
  assert experiment.build(config).config.dataset.binarisation == "dynamic"
  config.likelihood, config.dataset.binarisation = "auto", "threshold"
  assert experiment.build(config).config.likelihood == "bernoulli"


def test_a_named_factor_has_a_component_for_each_value(tmp_path):
  kind = np.array(["a", "b", "", "c"] * 10)
  _, exp = build(
    tmp_path, ("kind", "size"), images=_NOISE, kind=kind, size=kind
  )
  assert exp.config.factors == ((8, 3), (8, 3), (16, 2), (16, 2))
  assert exp.model.properties[0].names == ("a", "b", "c")
  assert exp.model.properties[1].feature == "size"


def test_likelihoods_and_data_that_do_not_fit_are_named(tmp_path):
  config, _ = build(tmp_path, images=_RNG.normal(size=(40, 5)))
  config.likelihood = "bernoulli"
  with pytest.raises(ValueError, match=r"'free_gaussian'.* for vectors"):
    experiment.build(config)
  config.likelihood = "negative_binomial"
  with pytest.raises(ValueError, match="needs vectors of counts"):
    experiment.build(config)
  config.dataset.size = 8
  with pytest.raises(data.DataError, match="holds vectors"):
    experiment.build(config)


def test_vectors_are_neither_moved_nor_looked_at(tmp_path):
  vectors, kind = _RNG.normal(size=(40, 5)), np.array(["a", "b"] * 20)
  for field, value in (
    ("dataset.flips", True),
    ("dataset.shifts", 2),
    ("obedience", 9.0),
  ):
    config, _ = build(tmp_path, ("kind",), images=vectors, kind=kind)
    config.update_from_flattened_dict({field: value})
    named = rf"config\.{field} must be .* for vectors, such as .*, got {value}"
    with pytest.raises(ValueError, match=named):
      experiment.build(config)


def test_counts_go_in_and_means_of_counts_come_out(tmp_path):
  counts = _RNG.poisson(4, (40, 5))
  config, _ = build(tmp_path, images=counts)
  config.likelihood = "negative_binomial"
  config.network = {"name": "mlp", "hidden": (8,)}
  exp = experiment.build(config)
  model = Trained(exp, experiment.init(exp))
  mean = model.reconstruct(counts)
  assert mean.shape == (40, 5)
  assert (mean > 0).all()
  assert np.isfinite(model.score(counts)).all()
  with pytest.raises(ValueError, match=r"vectors must be counts 0, 1, 2"):
    model.encode(counts + 0.5)
  with pytest.raises(ValueError, match=r"figure needs pictures .*\(5,\)"):
    exp.model.require_pictures("a figure needs")
