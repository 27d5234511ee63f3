import numpy as np
import pytest
from sklearn import metrics

from fmvae.evaluation import confusion_matrix


def test_scores_are_those_of_scikit_learn():
  rng = np.random.default_rng(0)
  truth = rng.choice(3, 200, p=(0.1, 0.2, 0.7))
  seen = np.where(rng.random(200) < 0.6, truth, rng.integers(0, 3, 200))
  found = confusion_matrix("shape", ("a", "b", "c"), truth, seen, 3)
  np.testing.assert_array_equal(
    found.counts, metrics.confusion_matrix(truth, seen)
  )
  assert found.accuracy == metrics.accuracy_score(truth, seen)
  np.testing.assert_allclose(
    found.balanced_accuracy, metrics.balanced_accuracy_score(truth, seen)
  )
  assert found.majority == np.mean(truth == 2)


def test_a_majority_answer_is_seen_for_what_it_is():
  truth = np.repeat([0, 1], [93, 7])
  found = confusion_matrix("Eyeglasses", ("no", "yes"), truth, 0 * truth, 2)
  assert found.accuracy == found.majority == 0.93
  assert found.balanced_accuracy == 0.5
  assert found.scalars()["balanced_accuracy/Eyeglasses"] == 0.5
  assert "balanced 50.0 %, majority class 93.0 %" in str(found)


def test_missing_values_are_left_out_and_spare_components_are_wrong():
  truth, seen = np.array([0, 1, -1, 1, 0]), np.array([0, 3, 0, 1, -1])
  found = confusion_matrix("size", ("small", "large"), truth, seen, 4)
  np.testing.assert_array_equal(found.counts, [[1, 0, 0, 0], [0, 1, 0, 1]])
  assert found.accuracy == 2 / 3
  assert found.table().splitlines()[0].split() == [
    "truth",
    "small",
    "large",
    "(2)",
    "(3)",
  ]
  with pytest.raises(ValueError, match="size: there is no image"):
    confusion_matrix("size", ("small", "large"), truth[2:3], seen[2:3], 4)
  with pytest.raises(ValueError, match=r"one length, got \(5,\) and \(4,\)"):
    confusion_matrix("size", ("small", "large"), truth, seen[1:], 4)
