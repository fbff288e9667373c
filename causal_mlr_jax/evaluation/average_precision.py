"""Average precision per label, over all images at once, on the host.

Two definitions are in use, and both are offered. Plain: the precision at each
positive, averaged over the positives (as in scikit-learn; the papers' "mean
precision at positives" is the same number where no scores are equal).
Interpolated: each precision is first replaced by the largest precision at the
same or a higher recall (PASCAL VOC 2010 and later). The interpolated value is
never smaller than the plain one, so the two must not be compared.

Equal scores share one threshold: if their order mattered, the result would
depend on the order of the images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from causal_mlr_jax.core.errors import UserError


def check_scores(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray | None = None,
  label_names: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns scores as float64, and labels and validity as bool, all [B, N].

  Args:
    scores_BN: Real scores, on any monotone scale.
    labels_BN: 1 where the image has the label, else 0.
    valid_BN: 0 or False marks entries to leave out; their scores and labels are
      not checked.
    label_names: N names, for the messages.

  Raises:
    UserError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.
  """
  scores_BN = np.asarray(scores_BN).astype(np.float64)
  labels_BN = np.asarray(labels_BN)
  if valid_BN is None:
    valid_BN = np.ones(labels_BN.shape, bool)
  valid_BN = np.asarray(valid_BN).astype(bool)
  shapes = scores_BN.shape, labels_BN.shape, valid_BN.shape
  if scores_BN.ndim != 2 or len(set(shapes)) > 1:
    raise UserError(
      "Scores, labels and valid must be three arrays of one shape "
      f"[images, labels]; got {', '.join(map(str, shapes))}."
    )
  nan_N = (np.isnan(scores_BN) & valid_BN).any(0)
  if nan_N.any():
    raise UserError(
      f"Scores are NaN for {_names(nan_N, label_names)}; expected real "
      "numbers. The model's outputs are broken: check whether the loss became "
      "NaN and whether the inputs are finite."
    )
  odd_N = ((labels_BN != 0) & (labels_BN != 1) & valid_BN).any(0)
  if odd_N.any():
    raise UserError(
      f"Labels other than 0 and 1 for {_names(odd_N, label_names)}. If -1, 0 "
      "and 1 mean absent, difficult and present, pass labels == 1 as labels "
      "and labels != 0 as valid."
    )
  return scores_BN, (labels_BN == 1) & valid_BN, valid_BN


def _names(chosen_N: ArrayLike, label_names: Sequence[str] | None) -> str:
  """Returns the number of chosen labels and the names of up to ten."""
  index = np.flatnonzero(chosen_N)
  shown = [str(label_names[n] if label_names else n) for n in index[:10]]
  more = f" and {len(index) - 10} more" if len(index) > 10 else ""
  return f"{len(index)} label(s): {', '.join(shown)}{more}"


def weighted_average_precision(
  scores_B: np.ndarray,
  positives_B: np.ndarray,
  weights_BR: np.ndarray,
  *,
  interpolated: bool = False,
) -> np.ndarray:
  """Returns one label's average precision for each of R image weightings.

  The images are sorted only once. For a bootstrap, a column of weights says how
  often each image was drawn.

  Args:
    scores_B: Scores of the label, without NaN.
    positives_B: True where the image has the label.
    weights_BR: Non-negative weights, one column per result.
    interpolated: Whether to take the monotone envelope of the precision.

  Returns:
    Fractions [R]; NaN where all positives have weight 0.
  """
  order_B = np.argsort(-scores_B, kind="stable")
  sorted_B, positives_B = scores_B[order_B], positives_B[order_B]
  where_P = np.flatnonzero(positives_B)
  if where_P.size == 0:
    return np.full(weights_BR.shape[1], np.nan)
  weights_BR = weights_BR[order_B]
  # The threshold of a positive is at the last image with the same score.
  last_B = np.append(sorted_B[1:] != sorted_B[:-1], True)
  rows_B = np.where(last_B, np.arange(last_B.size), last_B.size)
  end_P = np.minimum.accumulate(rows_B[::-1])[::-1][where_P]
  weights_PR = weights_BR[where_P].astype(np.float64)
  found_PR = np.cumsum(weights_PR, 0)
  total_R = found_PR[-1]
  hits_PR = found_PR[np.searchsorted(where_P, end_P, side="right") - 1]
  seen_PR = np.cumsum(weights_BR, 0, dtype=np.float64)[end_P]
  precision_PR = hits_PR / np.where(seen_PR > 0, seen_PR, 1)
  if interpolated:
    # Precision only falls between positives, so the maximum is at a positive.
    precision_PR = np.maximum.accumulate(precision_PR[::-1])[::-1]
  sum_R = (weights_PR * precision_PR).sum(0)
  return np.where(
    total_R > 0, sum_R / np.where(total_R > 0, total_R, 1), np.nan
  )


def average_precision(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  *,
  interpolated: bool = False,
  valid_BN: np.ndarray | None = None,
) -> np.ndarray:
  """Returns the average precision of each label, fractions [N].

  The plain value is scikit-learn's `average_precision_score`; the interpolated
  one is PASCAL VOC's since 2010 (Everingham et al., IJCV 2010).

  Args:
    scores_BN: Real scores, on any monotone scale.
    labels_BN: 1 where the image has the label, else 0.
    interpolated: Whether to take the monotone envelope of the precision.
    valid_BN: 0 or False marks entries to leave out (padding, difficult or
      unknown labels).

  Returns:
    Fractions in [0, 1]; NaN for a label without positives.

  Raises:
    UserError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.
  """
  scores_BN, positives_BN, valid_BN = check_scores(
    scores_BN, labels_BN, valid_BN
  )
  ap_N = np.empty(scores_BN.shape[1])
  for n in range(ap_N.size):
    keep_B = valid_BN[:, n]
    scores_B = scores_BN[keep_B, n]
    weights_BR = np.ones((scores_B.size, 1))
    ap_N[n] = weighted_average_precision(
      scores_B, positives_BN[keep_B, n], weights_BR, interpolated=interpolated
    )[0]
  return ap_N


def mean_average_precision(ap_N: np.ndarray) -> tuple[float, list[int]]:
  """Returns the mean of the values that are not NaN, and the NaN indices.

  Args:
    ap_N: Values from `average_precision`.

  Returns:
    The mean (NaN if all values are NaN) and the indices of the skipped labels.
  """
  ap_N = np.asarray(ap_N, np.float64)
  skipped_N = np.isnan(ap_N)
  mean = float(ap_N[~skipped_N].mean()) if (~skipped_N).any() else float("nan")
  return mean, np.flatnonzero(skipped_N).tolist()
