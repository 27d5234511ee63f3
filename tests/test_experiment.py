"""Named factors, labels and phases, from a config."""

import numpy as np
import pytest

from experiments import digits
from fmvae import data, experiment, model
from fmvae.model import Property
from fmvae.model.priors import FactorialMixture, StandardNormal


def build(prepared, load=data.load, **dataset):
  config = digits.get_config("smoke")
  config.factors = ((8, 10), (4, 2), (4, 3))
  config.dataset.update(dataset)
  return experiment.build(config, data_dir=prepared, load=load)


def test_a_property_maps_values_to_components(prepared):
  exp = build(prepared, labels=((1, "label", (7, 2)),))
  (prop,) = exp.model.properties
  assert prop == Property(1, "label", (7, 2), ("7", "2"))
  assert exp.model.unnamed == (0, 2)
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
  assert exp.model.properties[0].names == tuple("0123456789")


def test_each_label_has_its_own_fraction(prepared):
  def with_parity(*args, **kwargs):
    part = data.load(*args, **kwargs)
    part.features["parity"] = part.features["label"] % 2
    return part

  exp = build(
    prepared,
    load=with_parity,
    labels=((0, "label"), (1, "parity")),
    labelled_fraction=(0.4, 0.1),
  )
  kept = exp.train.labels[:, :2] >= 0
  np.testing.assert_array_equal(kept.sum(0), [600, 150])
  assert (kept[:, 0] | ~kept[:, 1]).all()  # the smaller within the larger
  assert exp.model.properties[1].names == ("parity 0", "parity 1")
  again = build(prepared, labels=((0, "label"),), labelled_fraction=0.4)
  np.testing.assert_array_equal(
    exp.train.labels[:, 0], again.train.labels[:, 0]
  )


@pytest.mark.parametrize(
  ("split", "message"),
  [
    ("train", "known of some training image of uci_digits, got none"),
    ("test", r"test set of uci_digits must have one of the values \(7,\)"),
  ],
)
def test_labels_that_a_split_lacks_are_refused_at_once(
  prepared, split, message
):
  def without(name, part, **folders):
    found = data.load(name, part, **folders)
    if part == split:
      label = found.features["label"]
      label[label == 7] = -1
      if part == "train":
        label[:] = -1
    return found

  with pytest.raises(ValueError, match=message):
    build(prepared, load=without, labels=((1, "label", (7,)),))


@pytest.mark.parametrize("field", ["delta", "kl_z_weight"])
def test_schedules_run_over_the_joint_phase(prepared, field):
  config = digits.get_config("smoke")
  config.dataset.labels = ((0, "label"),)
  config.steps = {"pretrain": 30, "prior": 70, "joint": 1000}
  config[field] = ((0.0, 20.0), (0.2, 20.0), (0.4, 5.0), (0.5, 5.0), (0.5, 0.0))
  joint = experiment.build(config, data_dir=prepared).phases[-1]
  supervised = {"delta": joint.supervision.delta}
  schedule = supervised.get(field, joint.kl_z_weight)
  for step, value in ((100, 20.0), (400, 12.5), (600, 5.0), (601, 0.0)):
    np.testing.assert_allclose(schedule(np.int32(step)), value, rtol=1e-5)


def test_without_labels_there_is_no_supervision(prepared):
  exp = build(prepared)
  assert exp.model.properties == ()
  assert {phase.supervision.factors for phase in exp.phases} == {()}
  assert exp.model.unnamed == (0, 1, 2)


def phases_of(prepared, steps, **fields):
  config = digits.get_config("smoke")
  config.steps = dict(zip(("pretrain", "prior", "joint"), steps, strict=True))
  config.update(fields)
  return experiment.build(config, data_dir=prepared).phases


def test_phases_are_those_that_have_steps(prepared):
  phases = phases_of(prepared, (3, 2, 4))
  names = [(p.name, p.start, p.end) for p in phases]
  assert names == [("pretrain", 0, 3), ("prior", 3, 5), ("joint", 5, 9)]
  assert [p.trains_networks for p in phases] == [True, False, True]
  assert [p.updates_prior for p in phases] == [False, True, True]
  assert isinstance(phases[0].prior, StandardNormal)
  assert isinstance(phases[1].prior, FactorialMixture)
  # The mixture begins once, where its first phase does.
  assert [bool(p.init_encodings) for p in phases] == [False, True, False]
  (joint,) = phases_of(prepared, (0, 0, 4))
  assert (joint.start, bool(joint.init_encodings)) == (0, True)
  (alone,) = phases_of(prepared, (3, 0, 0))
  assert alone.name == "pretrain"


def test_equal_configs_give_equal_values(prepared):
  labels = {"labels": ((0, "label"),)}
  first, second = build(prepared, **labels), build(prepared, **labels)
  assert first.model == second.model
  assert hash(first.model) == hash(second.model)
  assert first.phases == second.phases
  assert hash(first.phases) == hash(second.phases)
  assert build(prepared).phases != first.phases


def test_the_plain_vae_is_a_prior_by_name(prepared):
  phases = phases_of(prepared, (2, 0, 3), prior="standard_normal")
  assert {p.prior for p in phases} == {StandardNormal(16)}
  assert not any(p.updates_prior for p in phases)


def test_the_prior_begins_without_labels_from_the_state_alone(prepared):
  plain = build(prepared)
  labelled = build(prepared, labels=((0, "label"),))
  states = []
  for exp in (plain, labelled):
    (phase,) = [p for p in exp.phases if p.init_encodings]
    state = experiment.init(exp)
    states.append(
      model.init_prior(exp.model, phase, state, exp.train.images).prior
    )
  first, second = states
  np.testing.assert_array_equal(first.factors[0].m, second.factors[0].m)
