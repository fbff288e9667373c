"""Effect matrices by hand, and their comparison with known causal models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import context_emoji
from causal_mlr_jax.studies.effects import matrices
from causal_mlr_jax.studies.effects import truth as lib

WORLDS = context_emoji.WORLDS
OBJECTS = len(context_emoji.OBJECTS)


def small_truth(effect, edges, spurious, objects):
  """A truth by hand: the first labels are objects, the rest scenes."""
  labels = len(effect)
  marked = np.zeros((2, labels, labels), bool)
  for mark, pairs in zip(marked, (edges, spurious), strict=True):
    for i, j in pairs:
      mark[i, j] = True
  candidate = np.zeros((labels, labels), bool)
  candidate[:objects, :objects] = ~np.eye(objects, dtype=bool)
  return lib.Truth(np.asarray(effect, float), candidate, *marked)


def test_counting_by_hand():
  labels = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
  got = matrices.conditional_frequencies(labels)
  np.testing.assert_allclose(got[0], [0.5, 0.0, 0.0])
  np.testing.assert_allclose(got[1], [0.0, 0.5, 0.0])
  assert np.isnan(got[2]).all()  # of no image


labels_and_scores = st.integers(1, 12).flatmap(
  lambda images: st.tuples(
    hnp.arrays(np.uint8, (images, 4), elements=st.integers(0, 1)),
    hnp.arrays(np.float64, (images, 4), elements=st.floats(0, 1)),
  )
)


@given(labels_and_scores)
def test_predictions_that_are_the_labels_give_their_frequencies(drawn):
  labels, scores = drawn
  counted = matrices.conditional_frequencies(labels)
  np.testing.assert_allclose(matrices.from_predictions(labels), counted)
  for i in np.flatnonzero(labels.any(0)):
    want = labels[labels[:, i] == 1].mean(0) - labels.mean(0)
    np.testing.assert_allclose(counted[i], want, atol=1e-12)
  # A weighted mean of scores never leaves their range.
  given_NN = matrices.from_predictions(scores) + scores.mean(0)[None]
  known = given_NN[np.isfinite(given_NN)]
  assert ((known > -1e-9) & (known < 1 + 1e-9)).all()


def test_what_is_no_label_and_no_score_is_named():
  with pytest.raises(UserError, match="need images"):
    matrices.conditional_frequencies(np.zeros((0, 3), np.uint8))
  with pytest.raises(UserError, match="other than 0 and 1"):
    matrices.conditional_frequencies(np.full((2, 3), 2))
  with pytest.raises(UserError, match="NaN"):
    matrices.from_predictions(np.full((2, 3), np.nan))


@given(
  st.lists(st.integers(-3, 3), min_size=1, max_size=9),
  st.lists(st.integers(-3, 3), min_size=1, max_size=9),
)
def test_auroc_equals_scikit_learn(positives, negatives):
  truth = [1] * len(positives) + [0] * len(negatives)
  want = metrics.roc_auc_score(truth, positives + negatives)
  got = lib.auroc(np.array(positives), np.array(negatives))
  assert got == pytest.approx(want)


def test_recovery_by_hand():
  # 0 -> 1 -> 2 by edges, 0 -> 2 indirectly; 3 and 0 are a biased pair; 4 is a
  # scene, which counts for nothing.
  effect = np.zeros((5, 5))
  effect[0, 1], effect[1, 2], effect[0, 2], effect[4] = 0.5, 0.4, 0.2, 0.9
  known = small_truth(effect, [(0, 1), (1, 2)], [(3, 0), (0, 3)], 4)
  measured = np.full((5, 5), -0.1)
  measured[0, 1], measured[1, 2], measured[0, 2] = 0.3, 0.1, 0.99
  measured[3, 0], measured[0, 3], measured[2, 1] = 0.2, 0.05, 0.4
  measured[4] = 9.0
  got = lib.recovery(measured, known)
  assert (got.edges, got.without_effect, got.spurious) == (2, 9, 2)
  # Of the 18 ordered pairs three are wrong: (0, 1) is behind (2, 1), and
  # (1, 2) behind (2, 1) and (3, 0).
  assert got.auroc == pytest.approx(15 / 18)
  assert got.ap == pytest.approx((1 / 2 + 2 / 4) / 2)
  assert got.spurious_auroc == pytest.approx(3 / 4)
  assert got.spurious_ap == pytest.approx((1 + 2 / 3) / 2)
  assert got.direction == 0.5  # (2, 1) exceeds (1, 2)
  pairs = known.candidate_NN
  want = stats.spearmanr(measured[pairs], effect[pairs]).statistic
  assert got.spearman == pytest.approx(want)


def test_average_precision_of_edges_equals_scikit_learn(rng):
  known = lib.truth(WORLDS.metadata(), "train")
  measured = rng.normal(size=known.effect_NN.shape)
  got = lib.recovery(measured, known)
  zero = known.candidate_NN & (np.abs(known.effect_NN) < 1e-9)
  for negatives, auroc, ap in (
    (zero, got.auroc, got.ap),
    (zero & known.spurious_NN, got.spurious_auroc, got.spurious_ap),
  ):
    chosen = negatives | known.causal_NN
    pair = known.causal_NN[chosen], measured[chosen]
    assert auroc == pytest.approx(metrics.roc_auc_score(*pair))
    assert ap == pytest.approx(metrics.average_precision_score(*pair))


@pytest.mark.parametrize("world", ["train", "shifted"])
def test_the_truth_recovers_itself(world):
  known = lib.truth(WORLDS.metadata(), world)
  got = lib.recovery(np.round(known.effect_NN, 12), known)
  assert got.auroc == got.ap == got.spurious_auroc == got.spurious_ap == 1
  assert got.direction == 1
  assert got.spearman == pytest.approx(1)
  assert (got.edges, got.spurious) == (8, 16)
  indirect = 3  # car -> bone, cat -> cheese, and no other
  assert got.without_effect + got.edges < OBJECTS * (OBJECTS - 1)
  assert OBJECTS * (OBJECTS - 1) - got.without_effect - got.edges < indirect
  worst = lib.recovery(-np.round(known.effect_NN, 12), known)
  assert worst.auroc == worst.spurious_auroc == worst.direction == 0


def test_what_comes_together_is_fooled_by_the_biased_pairs():
  """Exact conditional probabilities: better than chance, and no better."""
  model = WORLDS.model("train")
  known = lib.truth(WORLDS.metadata(), "train")
  given_NN = np.zeros(known.effect_NN.shape)
  names = list(context_emoji.OBJECTS)
  for i, x in enumerate(names):
    for j, y in enumerate(names):
      raised = model.conditional({y: 1}, {x: 1}) - model.probability({y: 1})
      given_NN[i, j] = raised
  got = lib.recovery(given_NN, known)
  assert got.auroc > 0.9
  assert got.spurious_auroc < 0.6


def test_labels_that_were_never_seen_are_left_out():
  effect = np.zeros((4, 4))
  effect[0, 1] = effect[2, 3] = 0.5
  known = small_truth(effect, [(0, 1), (2, 3)], [(1, 3)], 4)
  measured = effect.copy()
  measured[2] = np.nan
  got = lib.recovery(measured, known)
  assert (got.edges, got.without_effect, got.spurious) == (1, 8, 1)
  nothing = lib.recovery(np.full((4, 4), np.nan), known)
  assert np.isnan(nothing[:6]).all()
  constant = lib.recovery(np.zeros((4, 4)), known)
  assert constant.auroc == constant.direction == 0.5
  assert np.isnan(constant.spearman)
  with pytest.raises(UserError, match=r"shape \(3, 3\)"):
    lib.recovery(np.zeros((3, 3)), known)


def test_the_strongest_pairs():
  effect = np.array([[9, 0.1, 0.3], [np.nan, 9, 0.2], [-1, 0.4, 9]])
  got = matrices.strongest(effect, "abc", 3)
  want = [("c", "b", 0.4), ("a", "c", 0.3), ("b", "c", 0.2)]
  assert [tuple(row.values()) for row in got] == want
  assert len(matrices.strongest(effect, "abc")) == 5
