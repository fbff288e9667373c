"""Finds biased pairs: labels that depend most on a context label.

Protocol of Singh et al., "Don't Judge an Object by Its Context: Learning to
Overcome Contextual Bias", CVPR 2020, section 3. The training images are split
80:20; a plain classifier is trained on the larger part and scores the smaller
part. The bias of label b for label z is the mean score of b on images with both
labels, divided by its mean score on images with b but not z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import check_scores


class Contexts(NamedTuple):
  """The context that each label depends on most.

  Attributes:
    context_N: Index of the context label, the smallest one of a tie; -1 where
      no label occurs often enough with this one.
    bias_N: Ratio of the mean scores with and without the context; 0 where there
      is no context or one of the two groups of images is empty.
  """

  context_N: np.ndarray
  bias_N: np.ndarray


def bias(scores_BN: np.ndarray, labels_BN: np.ndarray) -> np.ndarray:
  """Returns the bias of each label (row) for each context (column), [N, N].

  Args:
    scores_BN: A classifier's probabilities on images that it was not trained
      on.
    labels_BN: 1 where the image has the label, else 0.

  Returns:
    Ratios; 0 where no image has both labels, no image has the first label
    without the second, or the mean score on the latter images is 0.

  Raises:
    UserError: See `check_scores`.
  """
  scores_BN, positives_BN, _ = check_scores(scores_BN, labels_BN)
  has_BN = positives_BN.astype(np.float64)
  own_BN = has_BN * scores_BN  # only where the image has the label
  with_NN = _ratio(own_BN.T @ has_BN, has_BN.T @ has_BN)
  without_NN = _ratio(own_BN.T @ (1 - has_BN), has_BN.T @ (1 - has_BN))
  return _ratio(with_NN, without_NN)


def contexts(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  trained_labels_BN: np.ndarray,
  *,
  threshold: float = 0.2,
) -> Contexts:
  """Returns the context with the largest bias for each label.

  Args:
    scores_BN: Probabilities on the smaller part.
    labels_BN: Labels of the smaller part.
    trained_labels_BN: Labels of the larger part, which has another B.
    threshold: Smallest fraction of a label's images in the larger part that
      must also have the context; 0.2 for COCO-Stuff and AwA, 0.1 for
      DeepFashion.

  Raises:
    UserError: See `check_scores`; or the two parts have different labels.
  """
  bias_NN = bias(scores_BN, labels_BN)
  has_BN = (np.asarray(trained_labels_BN) == 1).astype(np.float64)
  if has_BN.ndim != 2 or has_BN.shape[1] != len(bias_NN):
    raise UserError(
      f"Labels of the part trained on have shape {has_BN.shape}: expected "
      f"[images, {len(bias_NN)}], one column for each column of the scores."
    )
  share_NN = _ratio(has_BN.T @ has_BN, has_BN.sum(0)[:, None])
  eligible_NN = (share_NN >= threshold) & ~np.eye(len(bias_NN), dtype=bool)
  eligible_NN &= share_NN > 0
  best_NN = np.where(eligible_NN, bias_NN, -1.0)
  context_N = best_NN.argmax(1)
  some_N = eligible_NN.any(1)
  bias_N = np.where(some_N, best_NN.max(1), 0.0)
  return Contexts(np.where(some_N, context_N, -1), bias_N)


def strongest(found: Contexts, count: int = 20) -> np.ndarray:
  """Returns the pairs (b, c) in descending order of bias, [<= count, 2].

  Args:
    found: Result of `contexts`; labels without a context or bias are left out.
    count: Largest number of pairs; the published data sets have 20.
  """
  order_N = np.argsort(-found.bias_N, kind="stable")
  order_N = order_N[found.bias_N[order_N] > 0][:count]
  return np.stack([order_N, found.context_N[order_N]], axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Returns part / whole, or 0 where whole is 0."""
  part, whole = np.broadcast_arrays(part, whole)
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
