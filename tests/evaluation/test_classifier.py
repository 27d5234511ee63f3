"""The classifier on pictures whose properties are known."""

from typing import ClassVar

import jax
import numpy as np
import pytest

from fmvae import evaluation
from fmvae.model import Model
from tests import named


@pytest.fixture(scope="module")
def exp():
  return named.build()


@pytest.fixture(scope="module")
def classifier(exp):
  return evaluation.train_classifier(exp.model, exp.train, exp.test, 300)


def test_it_learns_from_all_labels_and_is_tested_on_real_images(
  exp, classifier
):
  assert (exp.train.labels >= 0).sum() == 3 * 60  # the model sees a tenth
  assert [part.feature for part in classifier.tested] == [
    "shape",
    "colour",
    "size",
  ]
  assert [part.counts.sum() for part in classifier.tested] == [60] * 3
  colour, size = classifier.tested[1:]
  assert colour.accuracy >= 0.95
  assert size.accuracy >= 0.9


def test_it_sees_what_pictures_show_not_what_was_intended(exp, classifier):
  test = exp.test

  class Real(Model):
    """Draws real pictures of the colour asked for, and of any size."""

    def draw(self, state, key, components):
      rng = np.random.default_rng(0)
      rows = [
        rng.choice(np.flatnonzero(test.features["colour"] == k))
        for k in components[:, 1]
      ]
      return test.images[rows].astype(np.float32) / 127.5 - 1

  shape, colour, size = evaluation.classify_generated(
    named.recast(exp.model, Real), named.started(exp), classifier, 400
  )
  assert colour.accuracy >= 0.95
  assert abs(shape.accuracy - 1 / 3) < 0.1
  assert abs(size.accuracy - 1 / 2) < 0.1
  assert not evaluation.disobeys([colour], classifier.tested[1:2])
  assert evaluation.disobeys([colour, size], classifier.tested[1:])


def test_named_components_are_drawn_uniformly_and_the_others_freely(exp):
  images, intended = evaluation.generate(
    exp.model, named.started(exp), jax.random.key(0), 600
  )
  assert images.shape == (600, 32, 32, 3)
  assert images.min() >= -1
  assert images.max() <= 1
  for i, num in enumerate((3, 4, 2)):
    share = np.bincount(intended[:, i], minlength=num) / 600
    np.testing.assert_allclose(share, 1 / num, atol=0.07)
  # The intended component is the one decoded: z lies at it.
  again, _ = evaluation.generate(
    exp.model, named.started(exp), jax.random.key(0), 600
  )
  np.testing.assert_array_equal(images, again)


def test_the_swap_test_tells_own_values_from_leaks(exp, classifier):
  test = exp.test
  dims = [d for d, _ in exp.model.prior.factors]

  class Real(Model):
    """Holds an image's number in every z_d; shows one that either says."""

    decides: ClassVar = 0  # the dimension that does

    def encode(self, state, images, key, *, training):
      z = np.repeat(np.arange(len(images))[:, None], sum(dims), 1)
      return z, np.zeros(z.shape)

    def render(self, state, z):
      rows = np.asarray(z)[:, self.decides]
      return test.images[rows].astype(np.float32) / 127.5 - 1

  class Overruled(Real):
    """Shows what the last, unnamed factor holds."""

    decides = -1

  def swap(cls):
    scores = evaluation.classify_swapped(
      named.recast(exp.model, cls), named.started(exp), classifier, test, 300
    )
    return {s.feature: s for s in scores}

  obedient, overruled = swap(Real), swap(Overruled)
  for feature in ("colour", "size"):
    assert obedient[feature].own >= 0.9
    assert obedient[feature].leak <= 0.1
    assert overruled[feature].leak >= 0.9
  assert abs(overruled["colour"].own - 1 / 4) < 0.1
  assert abs(overruled["colour"].num_different - 225) < 30


def test_without_named_factors_there_is_nothing_to_classify():
  exp = named.build(dataset={"labels": ()})
  with pytest.raises(ValueError, match=r"config\.dataset\.labels is empty"):
    evaluation.train_classifier(exp.model, exp.train, exp.test, 1)
