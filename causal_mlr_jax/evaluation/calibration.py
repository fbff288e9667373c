"""Calibration: how far probabilities are from frequencies, and thresholds.

The expected calibration error and the temperature are those of Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017 (arXiv:1706.04599, equation 3
and section 4.2), over all entries, an image and a label each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special
from sklearn import metrics

BINS = 15
# Range of temperatures, and the probability that logits are cut at.
_TEMPERATURES, _EPS = (0.05, 20.0), 1e-7


class Threshold(NamedTuple):
  """The probability from which a label is predicted.

  Attributes:
    threshold: The probability; 0.5 for a label without positives.
    f1: F1 of the label's decisions on the images it was tuned on; None for a
      label without positives.
    positives: Number of those images with the label.
  """

  threshold: float
  f1: float | None
  positives: int


def expected_calibration_error(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray | None = None,
) -> float:
  """Returns the mean distance of probabilities from frequencies, 0 to 1.

  Entries are put into `BINS` bins of equal width by probability; the distance
  is that of a bin's mean probability from its fraction of positives.

  Args:
    scores_BN: Probabilities in [0, 1].
    labels_BN: 1 where the image has the label, else 0.
    valid_BN: False marks entries that do not count.
  """
  scores, labels = _valid(scores_BN, labels_BN, valid_BN)
  if not scores.size:
    return float("nan")
  place = np.minimum((scores * BINS).astype(int), BINS - 1)
  gap = np.bincount(place, weights=scores - labels, minlength=BINS)
  return float(np.abs(gap).sum() / scores.size)


def fit_temperature(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray | None = None,
) -> float:
  """Returns the temperature with the smallest cross-entropy, 0.05 to 20.

  Args:
    scores_BN: Probabilities in [0, 1], sigmoids of the logits that the
      temperature divides.
    labels_BN: 1 where the image has the label, else 0.
    valid_BN: False marks entries that do not count.
  """
  scores, labels = _valid(scores_BN, labels_BN, valid_BN)
  if not scores.size:
    return 1.0
  logits = special.logit(np.clip(scores, _EPS, 1 - _EPS))
  signed = np.where(labels > 0, -logits, logits)

  def cross_entropy(log_temperature: float) -> float:
    return float(np.logaddexp(0, signed / np.exp(log_temperature)).mean())

  found = optimize.minimize_scalar(
    cross_entropy, bounds=np.log(_TEMPERATURES), method="bounded"
  )
  return float(np.exp(found.x))


def best_thresholds(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray | None = None,
) -> list[Threshold]:
  """Returns the threshold of each label with the largest F1.

  Of equally good thresholds the highest is taken, halfway to the next lower
  probability, so that it does not depend on a last digit.

  Args:
    scores_BN: Probabilities in [0, 1].
    labels_BN: 1 where the image has the label, else 0.
    valid_BN: False marks entries that do not count.
  """
  columns = [scores_BN.T, labels_BN.T]
  columns.append(np.ones_like(columns[0]) if valid_BN is None else valid_BN.T)
  return [_best(*column) for column in zip(*columns, strict=True)]


def _best(
  scores_B: np.ndarray, labels_B: np.ndarray, valid_B: np.ndarray
) -> Threshold:
  scores, labels = _valid(scores_B, labels_B, valid_B)
  positives = int(labels.sum())
  if not positives:
    return Threshold(0.5, None, 0)
  precision, recall, values = metrics.precision_recall_curve(labels, scores)
  total = precision + recall
  f1 = 2 * precision * recall / np.where(total > 0, total, 1)
  place = len(values) - 1 - int(np.argmax(f1[:-1][::-1]))
  below = values[place - 1] if place else values[place]
  halfway = (values[place] + below) / 2
  return Threshold(float(halfway), float(f1[place]), positives)


def _valid(
  scores: np.ndarray, labels: np.ndarray, valid: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the entries that count, float64."""
  keep = np.ones(np.shape(scores), bool) if valid is None else valid > 0
  return scores[keep].astype(np.float64), labels[keep].astype(np.float64)
