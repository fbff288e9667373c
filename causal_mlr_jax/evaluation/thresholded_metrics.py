"""Metrics of 0/1 decisions: top-k recall, and precision, recall and F1.

The conventions are those of the published evaluation code of ML-GCN and ADD-GCN
and, for top-3 recall, of Singh et al., "Don't Judge an Object by Its Context",
CVPR 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from causal_mlr_jax.evaluation.average_precision import check_scores


class Decisions(NamedTuple):
  """Precision, recall and F1 of 0/1 decisions, as fractions.

  Attributes:
    overall_precision: Fraction of the predicted entries that are positive (OP).
    overall_recall: Fraction of the positive entries that are predicted (OR).
    overall_f1: Harmonic mean of OP and OR (OF1).
    class_precision: Mean of the labels' precisions, where a label that is never
      predicted counts as 0 (CP).
    class_recall: Mean of the recalls of the labels that have positives (CR).
    class_f1: Harmonic mean of CP and CR (CF1), not the mean of the labels' F1.
  """

  overall_precision: float
  overall_recall: float
  overall_f1: float
  class_precision: float
  class_recall: float
  class_f1: float


def topk_mask(scores_BN: np.ndarray, k: int = 3) -> np.ndarray:
  """Returns which scores are among the k largest of their image, [B, N].

  Args:
    scores_BN: Real scores; of equal scores, the lower label index is chosen, so
      that there are always exactly k.
    k: Number of labels to choose; all N labels if k > N.
  """
  top_Bk = np.argsort(-np.asarray(scores_BN), 1, kind="stable")[:, :k]
  mask_BN = np.zeros(np.shape(scores_BN), bool)
  np.put_along_axis(mask_BN, top_Bk, True, axis=1)
  return mask_BN


def topk_recall(
  scores_BN: np.ndarray, labels_BN: np.ndarray, k: int = 3
) -> np.ndarray:
  """Returns each label's top-k recall, fractions [N].

  This is the fraction of the images with the label for which the label is among
  the k largest scores. By the published rule, a label without positives counts
  as 0.

  Args:
    scores_BN: Real scores.
    labels_BN: 1 where the image has the label, else 0.
    k: Number of labels that are predicted for an image.

  Raises:
    UserError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.
  """
  scores_BN, positives_BN, _ = check_scores(scores_BN, labels_BN)
  hits_N = (topk_mask(scores_BN, k) & positives_BN).sum(0)
  return hits_N / np.maximum(positives_BN.sum(0), 1)


def decisions(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  *,
  threshold: float = 0.5,
  k: int | None = None,
) -> Decisions:
  """Returns overall and per-class precision, recall and F1 at a threshold.

  Args:
    scores_BN: Real scores.
    labels_BN: 1 where the image has the label, else 0.
    threshold: Smallest score that is predicted as positive; 0.5 for
      probabilities, 0 for logits.
    k: Largest number of predicted labels per image: those with the largest
      scores; None for no limit.

  Raises:
    UserError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.
  """
  scores_BN, positives_BN, _ = check_scores(scores_BN, labels_BN)
  predicted_BN = scores_BN >= threshold
  if k is not None:
    predicted_BN &= topk_mask(scores_BN, k)
  right_N = (predicted_BN & positives_BN).sum(0)
  predicted_N, positives_N = predicted_BN.sum(0), positives_BN.sum(0)
  has_N = positives_N > 0
  overall = _ratio(right_N.sum(), predicted_N.sum())
  found = _ratio(right_N.sum(), positives_N.sum())
  precision_N = right_N / np.maximum(predicted_N, 1)
  precision = _ratio(precision_N.sum(), precision_N.size)
  recall = _ratio((right_N[has_N] / positives_N[has_N]).sum(), has_N.sum())
  return Decisions(
    overall,
    found,
    _harmonic_mean(overall, found),
    precision,
    recall,
    _harmonic_mean(precision, recall),
  )


def _ratio(part: float, whole: float) -> float:
  return float(part / whole) if whole else 0.0


def _harmonic_mean(a: float, b: float) -> float:
  return _ratio(2 * a * b, a + b)
