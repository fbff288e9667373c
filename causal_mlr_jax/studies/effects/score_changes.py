"""How much a model leans on context, where the context can be changed.

The same objects are drawn over another scene, or without their companion, and
the scores before and after are compared. False positives are counted in scenes
where an object is at home but absent, and elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.studies.effects.matrices import ratio

THRESHOLD = 0.5


class Rates(NamedTuple):
  """False positive rates of each label; NaN where no image lacks it.

  Attributes:
    home_N: Rate over images of its home scenes without the object.
    elsewhere_N: Rate over images of other scenes without the object.
  """

  home_N: np.ndarray
  elsewhere_N: np.ndarray


def mean_drop(
  before_BN: np.ndarray, after_BN: np.ndarray, chosen_BN: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the mean drop of each label's score and its number of images, [N].

  Args:
    before_BN: Probabilities for the original images.
    after_BN: Probabilities for the same images after the change.
    chosen_BN: True where an image counts for a label; other entries of the
      scores are not read.

  Returns:
    Mean of before - after (NaN for a label without images), and the counts.

  Raises:
    UserError: Shapes differ.
  """
  before_BN, after_BN = np.asarray(before_BN), np.asarray(after_BN)
  chosen_BN = np.asarray(chosen_BN, bool)
  _check(before_BN, after_BN, chosen_BN)
  drop_BN = before_BN.astype(np.float64) - after_BN
  count_N = chosen_BN.sum(0)
  return ratio(np.where(chosen_BN, drop_BN, 0).sum(0), count_N), count_N


def false_positive_rates(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  home_BN: np.ndarray,
  threshold: float = THRESHOLD,
) -> Rates:
  """Returns the false positive rates in home scenes and elsewhere.

  Args:
    scores_BN: probabilities.
    labels_BN: 1 where the image has the label, else 0.
    home_BN: True where the image shows a home scene of the label.
    threshold: Score above which the label counts as predicted.

  Raises:
    UserError: Shapes differ.
  """
  scores_BN, home_BN = np.asarray(scores_BN), np.asarray(home_BN, bool)
  absent_BN = np.asarray(labels_BN) == 0
  _check(scores_BN, absent_BN, home_BN)
  wrong_BN = absent_BN & (scores_BN > threshold)

  def rate(where_BN: np.ndarray) -> np.ndarray:
    return ratio((wrong_BN & where_BN).sum(0), (absent_BN & where_BN).sum(0))

  return Rates(rate(home_BN), rate(~home_BN))


def mean(values: np.ndarray) -> float:
  """Returns the mean of the values that are not NaN, or NaN if all are."""
  known = values[~np.isnan(values)]
  return float(known.mean()) if known.size else float("nan")


def _check(*arrays: np.ndarray) -> None:
  shapes = [x.shape for x in arrays]
  if len(set(shapes)) > 1 or len(shapes[0]) != 2:
    raise UserError(
      "Scores, labels and choices must be arrays of one shape [images, "
      f"labels]; got {', '.join(map(str, shapes))}."
    )
