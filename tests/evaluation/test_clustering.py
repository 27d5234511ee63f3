"""Cluster scores on assignments small enough to score by hand."""

import numpy as np
import pytest

from experiments import digits
from fmvae import evaluation, experiment
from fmvae.evaluation import ClusterScores, LabelScores, cluster_scores
from fmvae.model import model_at
from tests import named


def test_renamed_classes_score_one():
  labels = np.repeat([0, 1, 2, 7], [3, 5, 2, 4])
  renamed = np.array([7, 2, 0, 0, 0, 0, 0, 1])[labels]
  assert cluster_scores(renamed, labels) == ClusterScores(1, 1, 1, 1)


def test_by_hand():
  # Cluster 0 holds 3 + 1 images of the classes, cluster 1 holds 1 + 3.
  scores = cluster_scores([0, 0, 0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1])
  assert scores.acc == pytest.approx(6 / 8)
  # Entropies of log 2 and I = 3/4 log(3/2) + 1/4 log(1/2).
  mutual = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
  assert scores.nmi == pytest.approx(mutual / np.log(2))
  # Pairs together in both: 6; in each: 12; of 28.
  assert scores.ari == pytest.approx((6 - 12 * 12 / 28) / (12 - 12 * 12 / 28))


def test_the_matching_is_the_best_not_the_greedy_one():
  # Greedy takes 4 for cluster 0 and class 0 and is left with 0; the best
  # matching takes 3 + 3.
  assigned, labels = [0] * 7 + [1] * 3, [0] * 4 + [1] * 3 + [0] * 3
  assert cluster_scores(assigned, labels).acc == pytest.approx(6 / 10)


def test_surplus_clusters_stay_unmatched():
  labels = np.repeat([0, 1], 6)
  pure = np.repeat([0, 1, 2, 3], [4, 2, 3, 3])
  scores = cluster_scores(pure, labels)
  assert scores.acc == pytest.approx((4 + 3) / 12)
  assert scores.purity == 1
  assert 0 < scores.nmi < 1
  assert 0 < scores.ari < 1


def test_fewer_clusters_than_classes():
  scores = cluster_scores([0, 0, 0, 1, 1], [0, 0, 1, 2, 2])
  assert scores.acc == scores.purity == pytest.approx(4 / 5)


def test_one_cluster_tells_nothing():
  scores = cluster_scores(np.zeros(6, int), [0, 0, 0, 1, 1, 2])
  assert scores == ClusterScores(acc=0.5, nmi=0, ari=0, purity=0.5)


def test_missing_labels_are_left_out():
  known = cluster_scores([0, 0, 1, 1], [1, 1, 0, 1])
  more = cluster_scores([0, 2, 0, 1, 1, 0], [1, -1, 1, 0, 1, -1])
  assert more == known


@pytest.mark.parametrize(
  ("assigned", "labels", "message"),
  [
    ([0, 1, 1], [0, 1], r"assigned and labels .* got \(3,\) and \(2,\)"),
    ([[0, 1]], [[0, 1]], r"assigned and labels .* got \(1, 2\)"),
    ([0, 1], [-1, -1], "labels must hold one other than -1"),
    ([], [], "labels must hold one other than -1"),
  ],
)
def test_bad_arguments_are_named(assigned, labels, message):
  with pytest.raises(ValueError, match=message):
    cluster_scores(assigned, labels)


def test_evaluation_scores_every_factor(prepared):
  config = digits.get_config("smoke")
  config.factors = ((10, 20), (6, 1))
  exp = experiment.build(config, data_dir=prepared)
  state = experiment.init(exp)

  def evaluate(state):
    model = model_at(exp.model, exp.phases, int(state.step))
    return evaluation.evaluate(model, state, exp.test, num_data=len(exp.train))

  plain = evaluate(state)
  assert plain.scores == plain.num_components == plain.used == ()
  assert not {"acc", "nmi", "ari", "acc/0", "nmi/0"} & set(plain.scalars())
  assert "against labels" not in str(plain)

  started = named.with_prior(exp, state)
  started = started.replace(step=state.step + sum(config.steps.values()))
  result = evaluate(started)
  first, second = result.score(LabelScores).factors
  # k-means even in the space of an untrained encoder tells digits apart; a
  # factor of one component does not.
  assert first.nmi > 0.1
  assert first.ari > 0.05
  labels = exp.test.features["label"]
  most = np.bincount(labels).max() / len(labels)
  assert first.acc > 1.5 * most
  assert second.acc == pytest.approx(most)
  assert second.nmi == second.ari == 0
  assert f"factor 1 against labels: accuracy {most:.2f}, NMI 0.00" in str(
    result
  )
  assert result.scalars()["acc/1"] == second.acc

  del exp.test.features["label"]
  without = evaluate(started)
  assert without.score(LabelScores) is None
  assert not {"acc/0", "nmi/0", "ari/0"} & set(without.scalars())
  assert without.bound == result.bound
