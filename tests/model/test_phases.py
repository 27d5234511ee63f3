"""The schedules of phases, and that equal settings give the same ones."""

import numpy as np
import optax
import pytest

from fmvae.model import phases
from fmvae.model.phases import adam, along, as_points, rising, robbins_monro

POINTS = ((0.0, 20.0), (0.2, 20.0), (0.4, 5.0), (0.5, 5.0), (0.5, 0.0))


def test_straight_lines_between_points():
  schedule = along(POINTS, 100, 1000)
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


@pytest.mark.parametrize(
  "points",
  [
    1000.0,
    (),
    ((0.5, 1.0), (0.4, 0.0)),
    ((0.0, -1.0),),
    ((0.0, 20.0), (1.5, 1.0)),
    ((0.0,),),
    (("0", 1.0),),
  ],
)
def test_points_that_are_none(points):
  with pytest.raises(ValueError, match=r"must hold points .*, got"):
    as_points(points)


def test_points_as_json_gives_them():
  assert as_points([[0, 20], [0.5, 1]]) == ((0.0, 20.0), (0.5, 1.0))


def test_a_rising_weight_ends_at_one():
  assert [float(rising(4)(step)) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
  assert float(rising(0)(0)) == 1


def test_equal_settings_are_the_same_object():
  assert along(POINTS, 1, 2) is along(as_points(list(POINTS)), 1, 2)
  assert adam(1e-3, 10, 20) is adam(1e-3, 10, 20)
  assert adam(1e-3, 10, 20) is not adam(1e-3, 10, 30)
  assert robbins_monro(0.7, 10.0, 0.1) is robbins_monro(0.7, 10.0, 0.1)
  assert phases.Supervision((1,)) == phases.Supervision((1,))


@pytest.mark.parametrize("steady", [0, 4])
def test_a_learning_rate_that_falls_by_a_cosine(steady):
  def steps_taken(optimizer, num=8):
    opt_state, taken = optimizer.init(np.zeros(())), []
    for _ in range(num):
      update, opt_state = optimizer.update(np.ones(()), opt_state)
      taken.append(float(update))
    return np.array(taken)

  plain = steps_taken(adam(0.1, 0, 0))
  np.testing.assert_allclose(plain, steps_taken(optax.adam(0.1)), rtol=1e-6)
  ratio = steps_taken(adam(0.1, steady, 8 - steady)) / plain
  falling = np.arange(8 - steady) / (8 - steady)
  cosine = 0.5 * (1 + np.cos(np.pi * falling))
  np.testing.assert_allclose(ratio, [*[1] * steady, *cosine], rtol=1e-5)
