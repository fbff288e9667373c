import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation import exclusive_cooccur as ec
from causal_mlr_jax.evaluation.average_precision import average_precision


@pytest.mark.parametrize("ending", ["", "_tied"])
def test_published_values(golden, ending):
  data = golden("exclusive_cooccur_ap")
  scores, labels = data[f"input/scores{ending}"], data["input/labels"]
  pairs = data["input/biased_pairs"]
  ap = ec.pair_average_precision(scores, labels, pairs)
  recall = ec.pair_topk_recall(scores, labels, pairs)
  for kind in ("exclusive", "cooccur"):
    for name, result in (("ap", ap), ("recall3", recall)):
      expected = data[f"output/{name}_{kind}{ending}"]
      np.testing.assert_allclose(getattr(result, kind), expected, rtol=1e-6)
      mean = getattr(result, f"{kind}_mean")
      np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6)
  all_ap = average_precision(scores, labels)
  np.testing.assert_allclose(all_ap, data[f"output/ap_all{ending}"], rtol=1e-6)
  np.testing.assert_allclose(
    all_ap.mean(), data[f"output/ap_mean{ending}"], rtol=1e-6
  )
  np.testing.assert_allclose(
    all_ap[data["input/unbiased_classes"]].mean(),
    data[f"output/ap_mean_unbiased{ending}"],
    rtol=1e-6,
  )


def test_groups_share_negatives_and_split_positives(rng):
  labels = rng.integers(0, 2, (200, 6))
  scores = rng.random((200, 6)).round(1)
  pairs = [(0, 1), (3, 2), (5, 0)]
  result = ec.pair_average_precision(scores, labels, pairs)
  for i, (b, c) in enumerate(pairs):
    without_b = labels[:, b] == 0
    for kind, context in (("exclusive", 0), ("cooccur", 1)):
      positive = (labels[:, b] == 1) & (labels[:, c] == context)
      keep = positive | without_b
      expected = average_precision_score(positive[keep], scores[keep, b])
      np.testing.assert_allclose(getattr(result, kind)[i], expected)
      assert getattr(result, f"{kind}_positives")[i] == positive.sum()
    assert result.negatives[i] == without_b.sum()
  split = ec.groups(labels, pairs)
  assert (sum(group.astype(int) for group in split) == 1).all()


def test_empty_group_is_skipped_in_ap_and_zero_in_recall():
  labels = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1]])
  scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]])
  pairs = [(0, 1), (2, 0)]
  ap = ec.pair_average_precision(scores, labels, pairs)
  np.testing.assert_array_equal(ap.exclusive, [np.nan, 1])
  assert ap.exclusive_mean == 1
  assert ap.skipped_exclusive == [0]
  assert ap.skipped_cooccur == []
  recall = ec.pair_topk_recall(scores, labels, pairs, k=1)
  np.testing.assert_array_equal(recall.exclusive, [0, 1])
  assert recall.exclusive_mean == 0.5


def test_few_positives_are_named(rng):
  labels = np.zeros((100, 2), int)
  labels[:40] = 1
  labels[40:42, 0] = 1
  result = ec.pair_average_precision(rng.random((100, 2)), labels, [(0, 1)])
  said = ec.few_positives(result, ["ski <- snow"])
  assert len(said) == 1
  assert "ski <- snow: only 2 exclusive" in said[0]


def test_no_pairs_give_no_results():
  result = ec.pair_average_precision(np.ones((2, 2)), np.eye(2), [])
  assert result.exclusive.shape == (0,)
  assert np.isnan(result.exclusive_mean)
  assert ec.pair_topk_recall(np.ones((2, 2)), np.eye(2), []).negatives.size == 0


@pytest.mark.parametrize(
  ("pairs", "message"),
  [
    ([(0, 2)], "0..1"),
    ([(-1, 0)], "0..1"),
    ([(1, 1)], "different labels"),
    ([(0.0, 1.0)], "indices"),
    ([("a", "b")], "indices"),
    ([0, 1], "indices"),
  ],
)
def test_wrong_pairs_are_named(pairs, message):
  with pytest.raises(UserError, match=message):
    ec.groups(np.eye(2), pairs)
