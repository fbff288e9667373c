import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from sklearn.metrics import precision_recall_fscore_support

from causal_mlr_jax.evaluation import thresholded_metrics

# Other programs may be running: time is no failure.
relaxed = settings(deadline=None)


@pytest.mark.parametrize(("key", "k"), [("overall", None), ("overall_top3", 3)])
def test_published_values(golden, key, k):
  data = golden("map")
  got = thresholded_metrics.decisions(
    data["input/scores"], data["input/labels"], threshold=0, k=k
  )
  np.testing.assert_allclose(got, data[f"output/{key}"], rtol=1e-6)


@pytest.mark.parametrize("ending", ["", "_tied"])
def test_published_recall(golden, ending):
  data = golden("exclusive_cooccur_ap")
  recall = thresholded_metrics.topk_recall(
    data[f"input/scores{ending}"], data["input/labels"]
  )
  np.testing.assert_allclose(
    recall, data[f"output/recall3_all{ending}"], rtol=1e-6
  )
  np.testing.assert_allclose(
    recall.mean(), data[f"output/recall3_mean{ending}"], rtol=1e-6
  )


matrices = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8).flatmap(
  lambda shape: st.tuples(
    hnp.arrays(np.float64, shape, elements=st.integers(0, 4).map(float)),
    hnp.arrays(np.int64, shape, elements=st.integers(0, 1)),
  )
)


@relaxed
@given(matrices)
def test_overall_numbers_equal_scikit_learn(problem):
  scores, labels = problem
  got = thresholded_metrics.decisions(scores, labels, threshold=2)
  expected = precision_recall_fscore_support(
    labels.ravel(), scores.ravel() >= 2, average="binary", zero_division=0
  )[:3]
  np.testing.assert_allclose(got[:3], expected, atol=1e-12)


@relaxed
@given(matrices)
def test_class_numbers_equal_scikit_learn(problem):
  scores, labels = problem
  labels[0] = 1  # Every label has a positive.
  precision, recall, _, _ = precision_recall_fscore_support(
    labels.reshape(-1, 1) if labels.shape[1] == 1 else labels,
    scores >= 2,
    average=None,
    zero_division=0,
    labels=[1] if labels.shape[1] == 1 else None,
  )
  got = thresholded_metrics.decisions(scores, labels, threshold=2)
  expected = precision.mean(), recall.mean()
  np.testing.assert_allclose(
    [got.class_precision, got.class_recall], expected, atol=1e-12
  )
  total = sum(expected)
  f1 = 2 * expected[0] * expected[1] / total if total else 0
  np.testing.assert_allclose(got.class_f1, f1, atol=1e-12)


@relaxed
@given(matrices, st.integers(1, 9))
def test_topk_names_k_labels_and_no_smaller_score(problem, k):
  scores, labels = problem
  mask = thresholded_metrics.topk_mask(scores, k)
  assert (mask.sum(1) == min(k, scores.shape[1])).all()
  if k < scores.shape[1]:
    chosen = np.where(mask, scores, np.inf).min(1)
    assert (chosen >= np.where(mask, -np.inf, scores).max(1)).all()
  recall = thresholded_metrics.topk_recall(scores, labels, k)
  assert ((recall >= 0) & (recall <= 1)).all()
  assert (recall[labels.sum(0) == 0] == 0).all()


def test_label_without_positives_or_predictions():
  scores = np.array([[0.9, 0.9, 0.1], [0.8, 0.1, 0.1]])
  labels = np.array([[1, 0, 1], [1, 0, 0]])
  got = thresholded_metrics.decisions(scores, labels)
  # Label 1 is predicted and never there, label 2 is there, never predicted.
  assert got.class_precision == pytest.approx((1 + 0 + 0) / 3)
  assert got.class_recall == pytest.approx((1 + 0) / 2)
  assert got.overall_precision == pytest.approx(2 / 3)


def test_nothing_predicted_is_zero_without_a_warning():
  got = thresholded_metrics.decisions(np.zeros((2, 2)), np.ones((2, 2)))
  assert got == (0, 0, 0, 0, 0, 0)


def test_probability_of_a_half_counts_as_predicted():
  got = thresholded_metrics.decisions(np.array([[0.5]]), np.array([[1]]))
  assert got.overall_f1 == 1
