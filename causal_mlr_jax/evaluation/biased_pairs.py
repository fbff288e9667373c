"""Which labels lean on which context: how biased pairs are found.

Protocol of Singh et al., "Don't Judge an Object by Its Context: Learning to
Overcome Contextual Bias", CVPR 2020, section 3. The training images are split
80 to 20; a plain classifier is trained on the larger part and scores the
smaller. The bias of label b for label z is the mean score of b on images with
both, over that on images with b alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import check_scores


class Contexts(NamedTuple):
  """The context that each label leans on most.

  Attributes:
    context_N: a label each, of smallest index where several are equal; -1
      where no label stands with this one often enough.
    bias_N: how many times larger the mean score is with the context than
      without; 0 without a context, or where a group of images is empty.
  """

  context_N: np.ndarray
  bias_N: np.ndarray


def bias(scores_BN: np.ndarray, labels_BN: np.ndarray) -> np.ndarray:
  """Returns the bias of each label (row) for each context, [N, N].

  Args:
    scores_BN: probabilities that a classifier gives to images it was not
      trained on.
    labels_BN: 1 where the image has the label, else 0.

  Returns:
    Ratios; 0 where no image has both labels, none has the first alone, or
    the mean score of these is 0.

  Raises:
    UserError: see `check_scores`.
  """
  scores_BN, positives_BN, _ = check_scores(scores_BN, labels_BN)
  has_BN = positives_BN.astype(np.float64)
  own_BN = has_BN * scores_BN  # of a label on its own images
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
  """Returns the context of largest bias for each label.

  Args:
    scores_BN: probabilities on the smaller part.
    labels_BN: labels of the smaller part.
    trained_labels_BN: labels of the larger part, of another number of images.
    threshold: part of a label's images in the larger part that have the
      context too, at least; 0.2 for COCO-Stuff and AwA, 0.1 for DeepFashion.

  Raises:
    UserError: see `check_scores`; or the two parts have other labels.
  """
  bias_NN = bias(scores_BN, labels_BN)
  has_BN = (np.asarray(trained_labels_BN) == 1).astype(np.float64)
  if has_BN.ndim != 2 or has_BN.shape[1] != len(bias_NN):
    raise UserError(
      f"Labels of the trained part have shape {has_BN.shape}: expected "
      f"[images, {len(bias_NN)}], the labels of the scores."
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
  """Returns the pairs (b, c) of largest bias, falling, [at most count, 2].

  Args:
    found: from `contexts`; labels without a context or bias are left out.
    count: how many pairs; the published data sets have 20.
  """
  order_N = np.argsort(-found.bias_N, kind="stable")
  order_N = order_N[found.bias_N[order_N] > 0][:count]
  return np.stack([order_N, found.context_N[order_N]], axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Returns part / whole, 0 where the whole is 0."""
  part, whole = np.broadcast_arrays(part, whole)
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
