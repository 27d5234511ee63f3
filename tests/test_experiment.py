"""Named factors and the schedules of the joint phase, from a config."""

import numpy as np
import pytest

from experiments import digits
from fmvae import experiment


def build(prepared, **dataset):
  config = digits.get_config("smoke")
  config.factors = ((8, 10), (4, 2), (4, 3))
  config.dataset.update(dataset)
  return experiment.build(config, data_dir=prepared)


def test_a_property_maps_values_to_components(prepared):
  exp = build(prepared, labels=((1, "label", (7, 2)),))
  (prop,) = exp.properties
  assert prop == (1, "label", (7, 2), ("7", "2"))
  assert exp.unnamed == (0, 2)
  truth, labels = exp.train.features["label"], exp.train.labels
  np.testing.assert_array_equal(labels[:, [0, 2]], -1)
  np.testing.assert_array_equal(labels[truth == 7, 1], 0)
  np.testing.assert_array_equal(labels[truth == 2, 1], 1)
  np.testing.assert_array_equal(labels[~np.isin(truth, (2, 7)), 1], -1)
  assert (exp.test.labels == -1).all()


def test_without_values_component_k_is_value_k(prepared):
  exp = build(prepared, labels=((0, "label"),))
  np.testing.assert_array_equal(
    exp.train.labels[:, 0], exp.train.features["label"]
  )
  assert exp.properties[0].names == tuple("0123456789")


def test_each_label_has_its_own_fraction(prepared, monkeypatch):
  source = experiment.data.load

  def with_parity(*args, **kwargs):
    part = source(*args, **kwargs)
    part.labels["parity"] = part.labels["label"] % 2
    return part

  monkeypatch.setattr(experiment.data, "load", with_parity)
  exp = build(
    prepared,
    labels=((0, "label"), (1, "parity")),
    labelled_fraction=(0.4, 0.1),
  )
  kept = exp.train.labels[:, :2] >= 0
  np.testing.assert_array_equal(kept.sum(0), [600, 150])
  assert (kept[:, 0] | ~kept[:, 1]).all()  # the smaller within the larger
  assert exp.properties[1].names == ("parity 0", "parity 1")
  again = build(prepared, labels=((0, "label"),), labelled_fraction=0.4)
  np.testing.assert_array_equal(
    exp.train.labels[:, 0], again.train.labels[:, 0]
  )


@pytest.mark.parametrize("field", ["delta", "kl_z_weight"])
def test_schedules_follow_their_points_over_the_joint_phase(prepared, field):
  config = digits.get_config("smoke")
  config.dataset.labels = ((0, "label"),)
  config.steps = {"pretrain": 30, "prior": 70, "joint": 1000}
  config[field] = ((0.0, 20.0), (0.2, 20.0), (0.4, 5.0), (0.5, 5.0), (0.5, 0.0))
  exp = experiment.build(config, data_dir=prepared)
  seen = {}

  def spy(*args, **kwargs):
    seen.update(kwargs)

  original = experiment.steps_lib.make_steps
  experiment.steps_lib.make_steps = spy
  try:
    exp.make_steps()
  finally:
    experiment.steps_lib.make_steps = original
  schedule = seen.get(field) or seen["supervision"].delta
  for fraction, value in (
    (0.0, 20.0),
    (0.1, 20.0),
    (0.3, 12.5),
    (0.4, 5.0),
    (0.499, 5.0),
    (0.5, 5.0),  # the step that ends the stretch still belongs to it
    (0.501, 0.0),
    (0.75, 0.0),
    (1.0, 0.0),
  ):
    found = schedule(np.int32(100 + round(1000 * fraction)))
    np.testing.assert_allclose(found, value, rtol=1e-5)
  assert schedule(np.int32(601)) == 0  # exactly, so that Delta > 0 is false


def test_without_labels_there_is_no_supervision(prepared):
  exp = build(prepared)
  assert exp.properties == ()
  assert exp.supervision.factors == ()
  assert exp.unnamed == (0, 1, 2)
