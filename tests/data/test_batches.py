import time

import numpy as np
import pytest

from fmvae.data import batch_indices, keep_labels


def _row(seed, num_steps, num_data, batch_size):
  return np.concatenate(
    [
      batch_indices(seed, step, num_data=num_data, batch_size=batch_size)
      for step in range(num_steps)
    ]
  )


def test_batches_cut_a_row_of_permutations():
  row = _row(3, num_steps=30, num_data=10, batch_size=7)  # 21 epochs
  epochs = row.reshape(21, 10)
  assert row.dtype == np.int64
  np.testing.assert_array_equal(
    np.sort(epochs, axis=1), np.tile(np.arange(10), (21, 1))
  )
  assert len({tuple(epoch) for epoch in epochs}) == 21


def test_batch_size_does_not_change_the_row():
  a = _row(0, num_steps=12, num_data=20, batch_size=5)
  b = _row(0, num_steps=3, num_data=20, batch_size=20)
  np.testing.assert_array_equal(a, b)


def test_a_batch_depends_on_seed_and_step_alone():
  options = {"num_data": 1_000, "batch_size": 32}
  direct = batch_indices(5, 40, **options).copy()
  for step in (*range(40), 40):
    batch_indices(5, step, **options)[:] = 0  # a copy: this spoils nothing
  np.testing.assert_array_equal(batch_indices(5, 40, **options), direct)
  assert not np.array_equal(batch_indices(6, 40, **options), direct)
  assert not np.array_equal(batch_indices(5, 41, **options), direct)


def test_the_numbers_never_change():
  # A checkpoint resumes on these batches: a change here is a break.
  np.testing.assert_array_equal(
    batch_indices(1, 2, num_data=10, batch_size=6), [7, 8, 9, 3, 4, 0]
  )
  np.testing.assert_array_equal(
    keep_labels(np.arange(10), 0.3, seed=1),
    [-1, 1, -1, -1, -1, 5, -1, -1, 8, -1],
  )


def test_a_step_costs_microseconds():
  options = {"num_data": 60_000, "batch_size": 64}
  batch_indices(0, 0, **options)
  start = time.perf_counter()
  for step in range(900):  # within the first epoch
    batch_indices(0, step, **options)
  assert (time.perf_counter() - start) / 900 < 2e-4


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ((0, 0, 10, 11), "batch_size must be 1 to num_data = 10, got 11"),
    ((0, 0, 10, 0), "batch_size"),
    ((0, -1, 10, 5), "step"),
    ((-1, 0, 10, 5), "seed"),
  ],
)
def test_bad_batches_are_refused(arguments, words):
  seed, step, num_data, batch_size = arguments
  with pytest.raises(ValueError, match=words):
    batch_indices(seed, step, num_data=num_data, batch_size=batch_size)


def test_keep_labels_keeps_the_asked_share():
  labels = np.arange(1_000, dtype=np.int32) % 10
  kept = keep_labels(labels, 0.1, seed=4)
  assert kept.dtype == np.int32
  assert (kept >= 0).sum() == 100
  assert labels.min() == 0  # the argument is untouched
  np.testing.assert_array_equal(kept[kept >= 0], labels[kept >= 0])


def test_keep_labels_chooses_by_seed_alone():
  few = keep_labels(np.arange(500), 0.1, seed=4) >= 0
  other_labels = keep_labels(np.arange(500) % 2, 0.1, seed=4) >= 0
  more = keep_labels(np.arange(500), 0.2, seed=4) >= 0
  np.testing.assert_array_equal(few, other_labels)
  assert (few <= more).all()
  assert (few != (keep_labels(np.arange(500), 0.1, seed=5) >= 0)).any()


def test_labelled_images_are_not_the_first_batches():
  first = batch_indices(4, 0, num_data=500, batch_size=50)
  kept = np.flatnonzero(keep_labels(np.arange(500), 0.1, seed=4) >= 0)
  assert len(np.intersect1d(first, kept)) < 25


def test_keep_labels_ends():
  labels = np.arange(7)
  assert (keep_labels(labels, 0, seed=0) == -1).all()
  np.testing.assert_array_equal(keep_labels(labels, 1, seed=0), labels)


@pytest.mark.parametrize(
  ("labels", "fraction", "words"),
  [
    (np.zeros(4, int), 1.5, "fraction"),
    (np.zeros(4, int), -0.1, "fraction"),
    (np.zeros(4, int), float("nan"), "fraction"),
    (np.zeros((4, 2), int), 0.5, "labels"),
    (np.zeros(4, np.uint8), 0.5, "labels"),
    (np.zeros(4), 0.5, "labels"),
  ],
)
def test_bad_labels_are_refused(labels, fraction, words):
  with pytest.raises(ValueError, match=words):
    keep_labels(labels, fraction, seed=0)
