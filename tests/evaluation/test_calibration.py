"""Thresholds, temperature and calibration error, against their definitions."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import special

from causal_mlr_jax.evaluation import calibration


def f1_of(decided, labels):
  """F1 from its definition; 0 where nothing is found."""
  hits = int((decided & (labels > 0)).sum())
  total = int(decided.sum() + (labels > 0).sum())
  return 2 * hits / total if total else 0.0


@st.composite
def scored(draw):
  """Scores with many ties, and labels, of up to 12 images."""
  count = draw(st.integers(1, 12))
  steps = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 6)))
  labels = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 1)))
  return (steps / 6).astype(np.float32), labels.astype(np.float32)


@hypothesis.given(scored())
def test_no_threshold_has_a_larger_f1(example):
  scores, labels = example
  (found,) = calibration.best_thresholds(scores[:, None], labels[:, None])
  if not labels.any():
    assert found == (0.5, None, 0)
    return
  best = max(f1_of(scores >= value, labels) for value in scores)
  assert found.f1 == pytest.approx(best)
  assert f1_of(scores >= found.threshold, labels) == pytest.approx(best)
  assert found.positives == labels.sum()
  # Of equally good ones the highest: any higher one decides less well.
  higher = scores[scores > found.threshold]
  above = [v for v in higher if v > higher.min()]
  assert all(f1_of(scores >= v, labels) < best for v in above)


def test_a_threshold_is_halfway_between_two_scores():
  scores = np.asarray([[0.9], [0.8], [0.4], [0.1]], np.float32)
  labels = np.asarray([[1], [1], [0], [0]], np.float32)
  (found,) = calibration.best_thresholds(scores, labels)
  assert found.threshold == pytest.approx(0.6)
  assert found.f1 == 1


def test_entries_that_do_not_count_change_no_threshold():
  rng = np.random.default_rng(0)
  scores = rng.random((40, 3)).astype(np.float32)
  labels = (rng.random((40, 3)) < 0.4).astype(np.float32)
  valid = rng.random((40, 3)) < 0.6
  found = calibration.best_thresholds(scores, labels, valid)
  for n, threshold in enumerate(found):
    keep = valid[:, n]
    (alone,) = calibration.best_thresholds(
      scores[keep, n : n + 1], labels[keep, n : n + 1]
    )
    assert threshold == alone
  spoiled = np.where(valid, labels, 1 - labels)
  assert calibration.best_thresholds(scores, spoiled, valid) == found


def drawn(count=200_000):
  """Probabilities, and labels that are drawn with them."""
  rng = np.random.default_rng(1)
  scores = special.expit(rng.normal(-0.5, 1.2, (count, 1)))
  return scores, (rng.random(scores.shape) < scores).astype(np.float32)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_factor_of_the_logits(factor):
  scores, labels = drawn()
  scaled = special.expit(factor * special.logit(scores))
  found = calibration.fit_temperature(scaled, labels)
  assert found == pytest.approx(factor, rel=0.02)
  calibrated = special.expit(special.logit(scaled) / found)
  error = calibration.expected_calibration_error
  assert error(calibrated, labels) < 0.005
  if factor != 1:
    assert error(scaled, labels) > 0.03


@pytest.mark.parametrize(("scores", "limit"), [([0.9, 0.8], 20), ([0.1], 0.05)])
def test_the_temperature_stays_in_its_range(scores, limit):
  # All decisions are wrong, so no temperature is high enough; or all are right.
  labels = np.zeros((len(scores), 1))
  found = calibration.fit_temperature(np.asarray(scores)[:, None], labels)
  assert found == pytest.approx(limit, rel=1e-3)


def test_certain_probabilities_have_a_finite_temperature():
  scores = np.asarray([[0.0], [1.0], [1.0]], np.float32)
  labels = np.asarray([[0], [1], [0]], np.float32)
  assert math.isfinite(calibration.fit_temperature(scores, labels))


def test_the_error_of_a_hand_example():
  # Bins of 1/15: 0.50 and 0.52 share one, 0.95 and 1.00 the last one.
  scores = np.asarray([[0.50, 0.52], [0.95, 1.0]])
  labels = np.asarray([[1, 1], [1, 0]])
  gaps = abs(1.02 - 2) + abs(1.95 - 1)
  found = calibration.expected_calibration_error(scores, labels)
  assert found == pytest.approx(gaps / 4)


@hypothesis.given(scored())
def test_the_error_is_that_of_the_bins(example):
  scores, labels = example
  place = np.minimum(np.floor(scores.astype(float) * calibration.BINS), 14)
  want = 0.0
  for b in np.unique(place):
    here = place == b
    gap = abs(scores[here].astype(float).mean() - labels[here].mean())
    want += here.mean() * gap
  found = calibration.expected_calibration_error(
    scores[:, None], labels[:, None]
  )
  assert found == pytest.approx(want, abs=1e-6)
  assert 0 <= found <= 1


def test_the_error_of_calibrated_probabilities_is_small():
  assert calibration.expected_calibration_error(*drawn()) < 0.005


def test_entries_that_do_not_count_change_neither_error_nor_temperature():
  scores, labels = drawn(2000)
  valid = np.random.default_rng(2).random(scores.shape) < 0.5
  spoiled = np.where(valid, labels, 1 - labels)
  kept = scores[valid][:, None], labels[valid][:, None]
  for measure in (
    calibration.expected_calibration_error,
    calibration.fit_temperature,
  ):
    found = measure(scores, spoiled, valid)
    assert found == pytest.approx(measure(*kept), rel=1e-9)
    assert measure(scores, labels) != pytest.approx(found, rel=1e-3)


def test_without_entries_nothing_is_measured():
  scores, labels = np.ones((2, 1)), np.ones((2, 1))
  nothing = np.zeros((2, 1), bool)
  assert math.isnan(
    calibration.expected_calibration_error(scores, labels, nothing)
  )
  assert calibration.fit_temperature(scores, labels, nothing) == 1
  found = calibration.best_thresholds(scores, labels, nothing)
  assert found == [(0.5, None, 0)]
