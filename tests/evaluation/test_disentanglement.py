"""Disentanglement scores on cases whose value is known."""

import dataclasses

import numpy as np
import pytest

from fmvae.evaluation.disentanglement import disentanglement, nmi_matrix

_RNG = np.random.default_rng(0)
_N = 1200
# Every pair of values equally often: independent properties, exactly.
_PROPERTIES = np.stack(
  [np.arange(_N) % 3, np.arange(_N) // 3 % 4, np.arange(_N) // 12 % 2], -1
)


def _means(codes):
  return codes + _RNG.normal(0, 0.01, codes.shape)


@pytest.mark.parametrize("made", [lambda x: x, _means], ids=["codes", "means"])
def test_a_latent_for_each_property_is_perfect(made):
  found = disentanglement(made(_PROPERTIES[:, ::-1]), _PROPERTIES)
  for name, value in dataclasses.asdict(found).items():
    assert value == pytest.approx(1, abs=0.06), name


@pytest.mark.parametrize("made", [lambda x: x, _means], ids=["codes", "means"])
def test_what_tells_nothing_scores_nothing(made):
  found = disentanglement(made(_RNG.integers(0, 5, (_N, 4))), _PROPERTIES)
  assert found.mig == pytest.approx(0, abs=0.02)
  assert found.infoe == pytest.approx(0, abs=0.02)
  assert found.dci_informativeness == pytest.approx(13 / 36, abs=0.06)
  assert found.dci_disentanglement < 0.1


def test_one_latent_for_all_properties_is_complete_but_not_disentangled():
  one = _PROPERTIES @ np.array([[1], [3], [12]])
  found = disentanglement(one, _PROPERTIES)
  assert found.mig == pytest.approx(1)  # there is no second latent
  assert found.dci_completeness == pytest.approx(1)
  assert found.dci_informativeness == pytest.approx(1)
  assert found.infoc == 1
  # It tells each property whole: a third of what it tells of all.
  assert found.infom == pytest.approx(0)
  assert found.dci_disentanglement == pytest.approx(0, abs=0.02)


def test_two_latents_for_one_property_are_modular_but_not_compact():
  twice = np.concatenate([_PROPERTIES, _PROPERTIES[:, :1]], -1)
  found = disentanglement(twice, _PROPERTIES)
  assert found.infom == pytest.approx(1)
  # Of the first property two of four latents tell all: (1/2 - 1/4) / (3/4).
  assert found.infoc == pytest.approx((1 / 3 + 1 + 1) / 3)
  assert found.mig == pytest.approx(2 / 3)


def test_half_a_property_is_half_explicit():
  half = _PROPERTIES[:, 1:2] // 2  # one of the two bits of four values
  found = disentanglement(half, _PROPERTIES[:, 1:2])
  assert found.infoe == pytest.approx(0.5, abs=0.02)
  assert found.mig == pytest.approx(0.5)
  assert found.dci_informativeness == pytest.approx(0.5, abs=0.06)


def test_dead_dimensions_take_no_part_in_infomec():
  dead = np.concatenate(
    [_means(_PROPERTIES), _RNG.normal(0, 0.01, (_N, 5))], -1
  )
  assert disentanglement(dead, _PROPERTIES).infoc == pytest.approx(1, abs=0.05)


def test_nmi_matrix_and_missing_values():
  codes = _PROPERTIES[:, [1, 0]]
  properties = _PROPERTIES.copy()
  properties[::7, 0] = -1
  found = nmi_matrix(codes, properties)
  np.testing.assert_allclose(found[[1, 0], [0, 1]], 1)
  assert np.max(np.delete(found.ravel(), [1, 3])) < 0.01
  kept = disentanglement(codes, properties)
  assert kept == disentanglement(
    codes[properties[:, 0] >= 0], properties[properties[:, 0] >= 0]
  )


@pytest.mark.parametrize(
  ("latents", "properties", "message"),
  [
    (np.zeros(3, int), np.zeros((3, 1), int), r"must be \[N, J\]"),
    (np.zeros((3, 1), int), np.zeros((3, 1)), "must be integers"),
    (np.zeros((3, 1), int), np.zeros((3, 1), int), "two values or more"),
  ],
)
def test_errors(latents, properties, message):
  with pytest.raises(ValueError, match=message):
    disentanglement(latents, properties)
