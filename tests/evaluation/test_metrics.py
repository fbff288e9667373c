import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation import bootstrap, metrics


def names(count):
  return [f"label {n}" for n in range(count)]


def test_published_values_as_percentages(golden):
  data = golden("exclusive_cooccur_ap")
  labels, pairs = data["input/labels"], data["input/biased_pairs"]
  label_names = names(labels.shape[1])
  got = metrics.compute(data["input/scores"], labels, label_names, pairs)
  for key, name in (
    (got["all_map"], "ap_mean"),
    (got["exclusive_map"], "ap_exclusive"),
    (got["cooccur_map"], "ap_cooccur"),
    (got["top3_recall"]["all"], "recall3_mean"),
    (got["top3_recall"]["exclusive"], "recall3_exclusive"),
    (got["top3_recall"]["cooccur"], "recall3_cooccur"),
  ):
    expected = 100 * data[f"output/{name}"].mean()
    np.testing.assert_allclose(key, expected, rtol=1e-6)
  for n, name in enumerate(label_names):
    row = got["per_label"][name]
    np.testing.assert_allclose(
      row["ap"], 100 * data["output/ap_all"][n], rtol=1e-6
    )
    assert row["ap_interpolated"] >= row["ap"]
    assert row["positives"] == labels[:, n].sum()
  b, c = pairs[0]
  pair = got["per_pair"][f"label {b} <- label {c}"]
  np.testing.assert_allclose(
    pair["exclusive_ap"], 100 * data["output/ap_exclusive"][0], rtol=1e-6
  )
  assert pair["context"] == f"label {c}"
  positives = pair["exclusive_positives"] + pair["cooccur_positives"]
  assert positives + pair["negatives"] == len(labels) == got["images"]


def test_decisions_use_probability_one_half(golden):
  data = golden("map")
  # float64, so that a logit just below 0 does not round to one half.
  scores = 1 / (1 + np.exp(-data["input/scores"].astype(np.float64)))
  labels = data["input/labels"]
  got = metrics.compute(scores, labels, names(labels.shape[1]))
  for ending, key in (("", "overall"), ("_top3", "overall_top3")):
    short = ("op", "or", "of1", "cp", "cr", "cf1")
    np.testing.assert_allclose(
      [got[name + ending] for name in short],
      100 * data[f"output/{key}"],
      rtol=1e-6,
    )
  np.testing.assert_allclose(
    got["all_map_interpolated"], data["output/interp_mAP"], rtol=1e-6
  )


def test_json_holds_null_for_what_is_not_known(rng):
  labels = np.zeros((50, 3), np.float32)
  labels[:40, 0] = labels[:40, 1] = 1
  got = metrics.compute(rng.random((50, 3)), labels, names(3), [(0, 1), (2, 0)])
  assert json.loads(json.dumps(got, allow_nan=False)) == got
  assert got["skipped_labels"] == ["label 2"]
  assert got["per_label"]["label 2"]["ap"] is None
  assert got["exclusive_map"] is None
  assert got["skipped_pairs"] == {
    "exclusive": ["label 0 <- label 1", "label 2 <- label 0"],
    "cooccur": ["label 2 <- label 0"],
  }
  assert any("left out" in text for text in got["warnings"])
  assert any("only 0 exclusive" in text for text in got["warnings"])


def test_without_pairs_the_rest_is_there(rng):
  labels = rng.integers(0, 2, (60, 4))
  got = metrics.compute(rng.random((60, 4)), labels, names(4))
  assert got["exclusive_map"] is None
  assert got["per_pair"] == {}
  assert got["warnings"] == []
  assert got["all_map"] > 0


@pytest.mark.parametrize(
  ("scores", "label_names", "message"),
  [
    ([[0.1, np.nan]], ["a", "b"], r"NaN for 1 label\(s\): b"),
    ([[0.1, 1.5]], ["a", "b"], "not its logits"),
    ([[0.1, 0.5]], ["a"], "1 label names"),
    ([[0.1, 0.5]], ["a", "a"], "1 of them different"),
    (np.zeros((0, 2)), ["a", "b"], "Nothing to evaluate"),
  ],
)
def test_wrong_input_is_named(scores, label_names, message):
  scores = np.array(scores)
  with pytest.raises(UserError, match=message):
    metrics.compute(scores, np.zeros(scores.shape), label_names)


def test_standard_errors_are_those_of_the_bootstrap_in_percent(rng):
  labels = (rng.random((60, 3)) < 0.4).astype(np.float32)
  scores = rng.random((60, 3))
  found = metrics.compute(scores, labels, "abc", [(0, 1)], resamples=20)
  want = bootstrap.standard_errors(
    scores, labels, [(0, 1)], np.random.default_rng(0), resamples=20
  )
  for kind, value in found["standard_error"].items():
    assert value == pytest.approx(100 * want[kind])
  assert "standard_error" not in metrics.compute(scores, labels, "abc")


def test_entries_left_out_count_nowhere(rng):
  """Whatever score and label they have, no metric moves."""
  labels = (rng.random((60, 5)) < 0.4).astype(float)
  scores = rng.random((60, 5))
  valid = rng.random((60, 5)) < 0.7
  other = np.where(valid, scores, 1 - scores)

  def result(scores):
    return metrics.compute(
      scores, labels, list("abcde"), [(0, 1)], 5, valid_BN=valid
    )

  assert result(scores) == result(other)
  assert result(scores) != metrics.compute(scores, labels, list("abcde"))
  kept = valid[:, 2]
  want = average_precision_score(labels[kept, 2], scores[kept, 2])
  got = result(scores)["per_label"]["c"]["ap"]
  assert got == pytest.approx(100 * want)
