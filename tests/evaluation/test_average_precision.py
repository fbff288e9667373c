import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import (
  average_precision,
  mean_average_precision,
  weighted_average_precision,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
# Other programs may be running: time is no failure.
relaxed = settings(deadline=None)


@st.composite
def problems(draw):
  """Scores with and without ties, and labels with at least one positive."""
  images = draw(st.integers(1, 30))
  tied = st.integers(-3, 3).map(float)
  free = st.floats(-5, 5, width=32)
  elements = draw(st.sampled_from([tied, free]))
  scores = draw(hnp.arrays(np.float64, images, elements=elements))
  labels = draw(hnp.arrays(np.int64, images, elements=st.integers(0, 1)))
  labels[draw(st.integers(0, images - 1))] = 1
  return scores, labels


def one(scores, labels, **kwargs):
  return average_precision(scores[:, None], labels[:, None], **kwargs)[0]


@relaxed
@given(problems())
def test_plain_equals_scikit_learn(problem):
  scores, labels = problem
  expected = average_precision_score(labels, scores)
  np.testing.assert_allclose(one(scores, labels), expected, **EXACT)


def envelope(scores, labels):
  """Interpolated AP by its definition, threshold by threshold."""
  points = []
  for threshold in np.unique(scores)[::-1]:
    chosen = scores >= threshold
    points.append((labels[chosen].sum(), chosen.sum()))
  total, before = 0.0, 0
  for i, (hits, _) in enumerate(points):
    best = max(h / seen for h, seen in points[i:])
    total += (hits - before) * best
    before = hits
  return total / labels.sum()


@relaxed
@given(problems())
def test_interpolated_follows_its_definition_and_is_not_below_plain(problem):
  scores, labels = problem
  interpolated = one(scores, labels, interpolated=True)
  np.testing.assert_allclose(interpolated, envelope(scores, labels), **EXACT)
  assert interpolated >= one(scores, labels) - 1e-12


@relaxed
@given(problems(), st.randoms(use_true_random=False), st.booleans())
def test_order_of_images_and_monotone_maps_change_nothing(
  problem, random, interpolated
):
  scores, labels = problem
  # Ranks are a strictly monotone map that no rounding can merge.
  ranks = np.unique(scores, return_inverse=True)[1] ** 3 - 7.0
  order = random.sample(range(len(scores)), len(scores))
  expected = one(scores, labels, interpolated=interpolated)
  for changed in (ranks, scores * 2):
    np.testing.assert_allclose(
      one(changed[order], labels[order], interpolated=interpolated),
      expected,
      **EXACT,
    )


@relaxed
@given(problems(), st.booleans())
def test_perfect_ranking_is_1_and_constant_scores_give_prevalence(
  problem, interpolated
):
  _, labels = problem
  assert one(labels * 1.0, labels, interpolated=interpolated) == 1
  np.testing.assert_allclose(
    one(np.zeros(len(labels)), labels, interpolated=interpolated),
    labels.mean(),
    **EXACT,
  )


@relaxed
@given(problems(), st.data())
def test_counts_equal_repeated_images(problem, data):
  scores, labels = problem
  counts = data.draw(
    hnp.arrays(np.int64, (len(scores), 3), elements=st.integers(0, 3))
  )
  for interpolated in (False, True):
    got = weighted_average_precision(
      scores, labels == 1, counts, interpolated=interpolated
    )
    expected = [
      one(np.repeat(scores, c), np.repeat(labels, c), interpolated=interpolated)
      for c in counts.T
    ]
    np.testing.assert_allclose(got, expected, **EXACT)


@relaxed
@given(problems(), st.data())
def test_invalid_entries_are_as_if_absent(problem, data):
  scores, labels = problem
  valid = data.draw(hnp.arrays(bool, len(scores)))
  expected = one(scores[valid], labels[valid])
  scores = np.where(valid, scores, np.nan)
  labels = np.where(valid, labels, -1)
  got = one(scores, labels, valid_BN=valid[:, None])
  np.testing.assert_allclose(got, expected, **EXACT)


def test_published_values(golden):
  data = golden("map")
  scores, labels = data["input/scores"], data["input/labels"]
  plain = average_precision(scores, labels)
  smooth = average_precision(scores, labels, interpolated=True)
  np.testing.assert_allclose(plain, data["output/plain_ap"], rtol=1e-6)
  np.testing.assert_allclose(plain, data["output/sklearn_ap"], rtol=1e-6)
  np.testing.assert_allclose(100 * smooth, data["output/interp_ap"], rtol=1e-6)
  np.testing.assert_allclose(
    100 * mean_average_precision(smooth)[0],
    data["output/interp_mAP"],
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    mean_average_precision(plain)[0], data["output/plain_mAP"], rtol=1e-6
  )


def test_published_values_with_equal_scores(golden):
  data = golden("map")
  scores, labels = data["input/scores_tied"], data["input/labels"]
  plain = average_precision(scores, labels)
  np.testing.assert_allclose(plain, data["output/sklearn_ap_tied"], rtol=1e-6)
  assert (plain <= data["output/plain_ap_tied_best"] + 1e-9).all()
  assert (plain >= data["output/plain_ap_tied_worst"] - 1e-9).all()


@pytest.mark.parametrize("order", ["sorted", "best", "worst"])
@pytest.mark.parametrize(
  ("kind", "factor"), [("plain", 1), ("interp", 100)], ids=["plain", "interp"]
)
def test_published_values_under_their_order_of_equal_scores(
  golden, kind, factor, order
):
  data = golden("map")
  scores, labels = data["input/scores_tied"], data["input/labels"]
  if order == "sorted":
    # Replays the order that the published sort happened to use.
    place = data[f"output/{kind}_tied_order"].T
    expected = data[f"output/{kind}_ap_tied"]
  else:
    sign = 1 if order == "best" else -1
    place = np.lexsort((-sign * labels, -scores), axis=0)
    expected = data[f"output/{kind}_ap_tied_{order}"]
  untied = np.empty(scores.shape)
  down = np.broadcast_to(-np.arange(len(scores))[:, None], scores.shape)
  np.put_along_axis(untied, place, down, axis=0)
  got = average_precision(untied, labels, interpolated=kind == "interp")
  np.testing.assert_allclose(factor * got, expected, rtol=1e-6)


def test_published_values_with_difficult_and_unknown_labels(golden):
  data = golden("map")
  scores, labels = data["input/scores"], data["input/labels_difficult"]
  got = average_precision(scores, labels == 1, valid_BN=labels != 0)
  np.testing.assert_allclose(got, data["output/plain_ap_difficult"], rtol=1e-6)
  got = average_precision(scores, labels == 1)
  np.testing.assert_allclose(
    got, data["output/plain_ap_difficult_as_negative"], rtol=1e-6
  )
  unknown = data["input/known_mask"] == -1
  for ending in ("", "_tied"):
    got = average_precision(
      data[f"input/scores{ending}"], data["input/labels"], valid_BN=unknown
    )
    np.testing.assert_allclose(
      mean_average_precision(got)[0],
      data[f"output/sklearn_mAP_unknown_only{ending}"],
      rtol=1e-6,
    )


def test_label_without_positives_is_nan_and_skipped():
  scores = np.array([[0.1, 0.2], [0.3, 0.1]])
  ap = average_precision(scores, [[1, 0], [0, 0]])
  np.testing.assert_array_equal(ap, [0.5, np.nan])
  assert mean_average_precision(ap) == (0.5, [1])
  mean, skipped = mean_average_precision(ap[1:])
  assert np.isnan(mean)
  assert skipped == [0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, bool, np.int8])
def test_any_number_type_will_do(dtype):
  scores = np.array([[1], [0], [1], [0]], dtype)
  np.testing.assert_allclose(
    average_precision(scores, scores.astype(np.float32)), [1]
  )


@pytest.mark.parametrize(
  ("scores", "labels", "message"),
  [
    ([[0.1, np.nan]], [[1, 0]], r"NaN for 1 label\(s\): 1"),
    ([[0.1, 0.2]], [[1, -1]], r"other than 0 and 1 for 1 label\(s\): 1"),
    ([[0.1, 0.2]], [[1, np.nan]], "other than 0 and 1"),
    ([[0.1, 0.2]], [[1]], "one shape"),
    ([0.1, 0.2], [1, 0], "one shape"),
  ],
)
def test_wrong_input_is_named(scores, labels, message):
  with pytest.raises(UserError, match=message):
    average_precision(np.array(scores), np.array(labels))


def test_infinite_scores_rank_like_any_other():
  scores = np.array([[np.inf], [-np.inf], [0.0]])
  np.testing.assert_allclose(average_precision(scores, [[1], [0], [0]]), [1])
