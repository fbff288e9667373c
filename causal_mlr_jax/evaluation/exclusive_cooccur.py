"""Measures how well labels are recognised with and without their context.

Protocol of Singh et al., "Don't Judge an Object by Its Context: Learning to
Overcome Contextual Bias", CVPR 2020. A biased pair (b, c) is a label and the
context that it usually occurs with. Each pair splits the test set differently:

  exclusive   b without c
  co-occur    b with c
  other       without b, with or without c

A result "on exclusive" uses the exclusive and other images; a result "on
co-occur" uses the co-occur and other images. The negatives are the same, only
the positives differ. Exclusive groups can be very small (29 images for one of
the published pairs), hence the counts and the warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import (
  check_scores,
  mean_average_precision,
  weighted_average_precision,
)
from causal_mlr_jax.evaluation.thresholded_metrics import topk_mask

Pairs = Sequence[tuple[int, int]] | np.ndarray

# With fewer positives, a few images can change an AP by several points.
FEW_POSITIVES = 30


class Groups(NamedTuple):
  """The images in each group of each pair, bool [B, pairs]."""

  exclusive: np.ndarray
  cooccur: np.ndarray
  other: np.ndarray


class PairResult(NamedTuple):
  """The values of a metric for each pair, on exclusive and on co-occur.

  Attributes:
    exclusive: Fractions [pairs] on exclusive and other images.
    cooccur: Fractions [pairs] on co-occur and other images.
    exclusive_positives: Number of images with b without c, [pairs].
    cooccur_positives: Number of images with b and c, [pairs].
    negatives: Number of images without b, [pairs].
    exclusive_mean: Mean over the pairs that are not NaN on exclusive.
    cooccur_mean: Mean over the pairs that are not NaN on co-occur.
    skipped_exclusive: Indices of the pairs that are NaN on exclusive.
    skipped_cooccur: Indices of the pairs that are NaN on co-occur.
  """

  exclusive: np.ndarray
  cooccur: np.ndarray
  exclusive_positives: np.ndarray
  cooccur_positives: np.ndarray
  negatives: np.ndarray
  exclusive_mean: float
  cooccur_mean: float
  skipped_exclusive: list[int]
  skipped_cooccur: list[int]


def check_pairs(pairs: Pairs, num_labels: int) -> np.ndarray:
  """Checks pairs and returns them as an integer array [pairs, 2].

  Args:
    pairs: (b, c) label indices: the label, then its context.
    num_labels: N.

  Raises:
    UserError: They are not pairs of integers, an index is outside 0..N-1, or
      b = c.
  """
  array = np.asarray(pairs)
  if array.size == 0:
    return np.zeros((0, 2), np.int64)
  if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
    raise UserError(
      "Biased pairs must be a list of pairs of label indices (label, context); "
      f"got an array of shape {array.shape} and type {array.dtype}. Convert "
      "names to indices with the data set's list of labels."
    )
  wrong = ((array < 0) | (array >= num_labels)).any(1)
  wrong |= array[:, 0] == array[:, 1]
  if wrong.any():
    raise UserError(
      f"Biased pairs {array[wrong].tolist()} are not two different labels "
      f"out of 0..{num_labels - 1}: the pairs and the scores belong to "
      "different data sets or to different orders of the labels."
    )
  return array.astype(np.int64)


def groups(
  labels_BN: np.ndarray, pairs: Pairs, valid_BN: np.ndarray | None = None
) -> Groups:
  """Splits the images into exclusive, co-occur and other for each pair.

  Args:
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    valid_BN: False marks entries to leave out; an image whose entry for b is
      left out is in none of the groups.

  Raises:
    UserError: See `check_pairs`.
  """
  positives_BN = np.asarray(labels_BN) == 1
  pairs = check_pairs(pairs, positives_BN.shape[1])
  label, context = positives_BN[:, pairs[:, 0]], positives_BN[:, pairs[:, 1]]
  valid = True if valid_BN is None else valid_BN[:, pairs[:, 0]]
  return Groups(
    label & ~context & valid, label & context & valid, ~label & valid
  )


def pair_average_precision(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  pairs: Pairs,
  *,
  interpolated: bool = False,
  valid_BN: np.ndarray | None = None,
) -> PairResult:
  """Returns the AP of each pair's label b, on exclusive and on co-occur.

  Args:
    scores_BN: Real scores.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    interpolated: Whether to take the monotone envelope; the published protocol
      does not.
    valid_BN: False marks entries to leave out.

  Returns:
    Fractions; a pair is NaN and skipped in the mean where its group is empty.

  Raises:
    UserError: See `check_scores` and `check_pairs`.
  """
  scores_BN, labels_BN, _ = check_scores(scores_BN, labels_BN)
  pairs = check_pairs(pairs, labels_BN.shape[1])
  split = groups(labels_BN, pairs, valid_BN)
  ap = np.empty((2, len(pairs)))
  for i, (b, _) in enumerate(pairs):
    for row, group in enumerate((split.exclusive, split.cooccur)):
      keep_B = group[:, i] | split.other[:, i]
      ap[row, i] = weighted_average_precision(
        scores_BN[keep_B, b],
        group[keep_B, i],
        np.ones((keep_B.sum(), 1)),
        interpolated=interpolated,
      )[0]
  return _result(ap[0], ap[1], split)


def pair_topk_recall(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  pairs: Pairs,
  k: int = 3,
  valid_BN: np.ndarray | None = None,
) -> PairResult:
  """Returns the top-k recall of each pair's b, on exclusive and on co-occur.

  Only the images of the group count, since recall ignores negatives. By the
  published rule, an empty group counts as 0 in the mean.

  Args:
    scores_BN: Real scores.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    k: Number of labels that are predicted for an image.
    valid_BN: False marks entries to leave out.

  Raises:
    UserError: See `check_scores` and `check_pairs`.
  """
  scores_BN, labels_BN, _ = check_scores(scores_BN, labels_BN)
  pairs = check_pairs(pairs, labels_BN.shape[1])
  split = groups(labels_BN, pairs, valid_BN)
  hits = topk_mask(scores_BN, k)[:, pairs[:, 0]]
  recalls = [
    (hits & group).sum(0) / np.maximum(group.sum(0), 1)
    for group in (split.exclusive, split.cooccur)
  ]
  return _result(recalls[0], recalls[1], split)


def few_positives(result: PairResult, names: Sequence[str]) -> list[str]:
  """Returns a warning for each group with fewer than `FEW_POSITIVES` images.

  Args:
    result: Result of any metric.
    names: One name per pair, for the messages.
  """
  said = []
  for kind in ("exclusive", "cooccur"):
    counts = getattr(result, f"{kind}_positives")
    said += [
      f"{name}: only {count} {kind} image(s), fewer than {FEW_POSITIVES}; "
      f"its {kind} result is noise to a large part."
      for name, count in zip(names, counts.tolist(), strict=True)
      if count < FEW_POSITIVES
    ]
  return said


def _result(
  exclusive: np.ndarray, cooccur: np.ndarray, split: Groups
) -> PairResult:
  exclusive_mean, skipped_exclusive = mean_average_precision(exclusive)
  cooccur_mean, skipped_cooccur = mean_average_precision(cooccur)
  return PairResult(
    exclusive,
    cooccur,
    split.exclusive.sum(0),
    split.cooccur.sum(0),
    split.other.sum(0),
    exclusive_mean,
    cooccur_mean,
    skipped_exclusive,
    skipped_cooccur,
  )
