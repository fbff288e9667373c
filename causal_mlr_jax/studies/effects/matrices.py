"""Effect matrices from observations: how much one label raises another.

An effect matrix holds effect[i, j], by how much label i raises the probability
of label j. The two matrices here measure only co-occurrence, in the labels and
in the scores. `truth.py` compares any such matrix with a known causal model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import (
  check_scores,
)


def conditional_frequencies(labels_BN: np.ndarray) -> np.ndarray:
  """Returns P(Y_j | X_i) - P(Y_j) from label counts, [N, N].

  Args:
    labels_BN: 1 where the image has the label, else 0.

  Returns:
    Differences; the row of a label without images is NaN.

  Raises:
    UserError: There are no images, or a label is neither 0 nor 1.
  """
  _, positives_BN, _ = check_scores(np.asarray(labels_BN), labels_BN)
  return _raised(positives_BN.astype(np.float64))


def from_predictions(scores_BN: np.ndarray) -> np.ndarray:
  """Returns P(Y_j | X_i) - P(Y_j) from a model's probabilities, [N, N].

  Σ_n s_ni s_nj / Σ_n s_ni - mean_n s_nj: which labels the model predicts
  together, for whatever reason.

  Args:
    scores_BN: Probabilities of every image once.

  Returns:
    Differences; the row of a label that is never predicted is NaN.

  Raises:
    UserError: There are no images, or a score is NaN.
  """
  unused_BN = np.zeros(np.shape(scores_BN), np.uint8)
  scores_BN, _, _ = check_scores(scores_BN, unused_BN)
  return _raised(scores_BN)


def _raised(weights_BN: np.ndarray) -> np.ndarray:
  if len(weights_BN) == 0:
    raise UserError(
      f"Effects need images: scores or labels have shape {weights_BN.shape}. "
      "Check the split and its list of images."
    )
  sum_N = weights_BN.sum(0)
  given_NN = ratio(weights_BN.T @ weights_BN, sum_N[:, None])
  return given_NN - sum_N[None] / len(weights_BN)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Returns part / whole, or NaN where the whole is 0."""
  part, whole = np.broadcast_arrays(part, whole)
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def strongest(
  effect_NN: np.ndarray, labels: Sequence[str], count: int = 20
) -> list[dict[str, Any]]:
  """Returns the pairs of labels with the largest effects, in falling order.

  Args:
    effect_NN: Effects; NaN and effects of a label on itself are left out.
    labels: Names of the N labels.
    count: Maximum number of pairs.
  """
  effect_NN = np.where(np.isfinite(effect_NN), effect_NN, -np.inf)
  np.fill_diagonal(effect_NN, -np.inf)
  order = np.argsort(-effect_NN, axis=None, kind="stable")[:count]
  rows = zip(*np.unravel_index(order, effect_NN.shape), strict=True)
  return [
    {"cause": labels[i], "effect": labels[j], "by": float(effect_NN[i, j])}
    for i, j in rows
    if np.isfinite(effect_NN[i, j])
  ]
