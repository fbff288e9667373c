"""How well a label is recognised without, and with, its usual context.

Protocol of Singh et al., "Don't Judge an Object by Its Context: Learning to
Overcome Contextual Bias", CVPR 2020. A biased pair (b, c) is a label and the
context it usually comes with. One test set is split anew for each pair:

  exclusive   b without c
  co-occur    b with c
  other       without b, with or without c

A result "on exclusive" takes exclusive and other images, and one "on
co-occur" takes co-occur and other images: the negatives are the same, only
the positives differ. Exclusive groups can be very small (29 images for one
of the published pairs), hence the counts and the warnings.
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

# Below this an AP moves by points when a few images change.
FEW_POSITIVES = 30


class Groups(NamedTuple):
  """Which images belong to which group of each pair, booleans [B, pairs]."""

  exclusive: np.ndarray
  cooccur: np.ndarray
  other: np.ndarray


class PairResult(NamedTuple):
  """A metric of each pair in its two groups.

  Attributes:
    exclusive: fractions [pairs], on exclusive and other images.
    cooccur: fractions [pairs], on co-occur and other images.
    exclusive_positives: images of b without c, [pairs].
    cooccur_positives: images of b with c, [pairs].
    negatives: images without b, [pairs].
    exclusive_mean: mean over the pairs, without those that are NaN.
    cooccur_mean: the same for co-occur.
    skipped_exclusive: pairs (their places in the list) that are NaN.
    skipped_cooccur: the same for co-occur.
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
  """Returns pairs as an integer array [pairs, 2].

  Args:
    pairs: (b, c) label indices: the label, then its context.
    num_labels: N.

  Raises:
    UserError: not pairs of integers, an index outside 0..N-1, or b = c.
  """
  array = np.asarray(pairs)
  if array.size == 0:
    return np.zeros((0, 2), np.int64)
  if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
    raise UserError(
      "Biased pairs must be a list of two label indices each (label, "
      f"context); got an array {array.shape} of {array.dtype}. Turn names "
      "into indices with the data set's list of labels."
    )
  wrong = ((array < 0) | (array >= num_labels)).any(1)
  wrong |= array[:, 0] == array[:, 1]
  if wrong.any():
    raise UserError(
      f"Biased pairs {array[wrong].tolist()} are not two different labels "
      f"out of 0..{num_labels - 1}: the pairs and the scores belong to "
      "different data sets, or to another order of the labels."
    )
  return array.astype(np.int64)


def groups(
  labels_BN: np.ndarray, pairs: Pairs, valid_BN: np.ndarray | None = None
) -> Groups:
  """Splits the images into exclusive, co-occur and other for each pair.

  Args:
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    valid_BN: an image whose entry of b is False is in none of the three.

  Raises:
    UserError: a pair is not two labels of the N.
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
    scores_BN: a real score an image and label.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    interpolated: take the monotone envelope; the published protocol does not.
    valid_BN: False marks entries to leave out.

  Returns:
    Fractions; NaN, and skipped in the mean, where a group is empty.

  Raises:
    UserError: see `check_scores` and `check_pairs`.
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
  """Returns the top-k recall of each pair's b, on exclusive and co-occur.

  Only the group's own images count, since recall has no negatives; an empty
  group is 0 and stays in the mean, by the published rule.

  Args:
    scores_BN: a real score an image and label.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices.
    k: how many labels an image may name.
    valid_BN: False marks entries to leave out.

  Raises:
    UserError: see `check_scores` and `check_pairs`.
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
  """Returns a warning for each group with fewer than 30 positives.

  Args:
    result: of any metric.
    names: one a pair, for the messages.
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
