"""Which images of a split a page shows, from scores and labels alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Errors with this place or a later one, ordered by confidence, are not looked
# at when images and labels must differ.
LOOKED_AT = 5000
ERRORS_OF_A_LABEL = 2


class Error(NamedTuple):
  """A wrong decision.

  Attributes:
    image: Index of the image.
    label: Index of the label.
  """

  image: int
  label: int


class Scored(NamedTuple):
  """Predictions of a split.

  Attributes:
    scores_BN: Probabilities.
    labels_BN: 1 where the image has the label, 0 where it has not; any other
      value is unknown.
    thresholds_N: Probabilities from which a label is predicted.
  """

  scores_BN: np.ndarray
  labels_BN: np.ndarray
  thresholds_N: np.ndarray

  def predicted(self) -> np.ndarray:
    """Returns where a label is predicted, bool [B, N]."""
    return self.scores_BN >= self.thresholds_N


def missed_exclusives(
  found: Scored, label: int, context: int, count: int
) -> list[int]:
  """Returns images with the label but without the context that were missed.

  Args:
    found: Predictions.
    label: The label of a biased pair.
    context: Its context.
    count: Largest number of images; the lowest scores come first.
  """
  has, score = found.labels_BN, found.scores_BN[:, label]
  missed = score < found.thresholds_N[label]
  which = (has[:, label] == 1) & (has[:, context] == 0) & missed
  return _first(which, score, count)


def false_on_context(
  found: Scored, label: int, context: int, count: int
) -> list[int]:
  """Returns images with the context where the label was wrongly predicted.

  Args:
    found: Predictions.
    label: The label of a biased pair.
    context: Its context.
    count: Largest number of images; the highest scores come first.
  """
  has, score = found.labels_BN, found.scores_BN[:, label]
  seen = score >= found.thresholds_N[label]
  which = (has[:, label] == 0) & (has[:, context] == 1) & seen
  return _first(which, -score, count)


def _first(which_B: np.ndarray, key_B: np.ndarray, count: int) -> list[int]:
  places = np.flatnonzero(which_B)
  order = np.argsort(key_B[places], kind="stable")
  return places[order[:count]].tolist()


def confident_errors(found: Scored, count: int) -> list[Error]:
  """Returns the wrong decisions with the most probability on the wrong side.

  Each image occurs once, and each label at most `ERRORS_OF_A_LABEL` times.

  Args:
    found: Predictions.
    count: Largest number of errors.
  """
  predicted_BN, labels_BN = found.predicted(), found.labels_BN
  wrong_BN = np.where(predicted_BN, labels_BN == 0, labels_BN == 1)
  sure_BN = np.where(predicted_BN, found.scores_BN, 1 - found.scores_BN)
  flat = np.where(wrong_BN, sure_BN, -1.0).ravel()
  most = min(LOOKED_AT, int(wrong_BN.sum()))
  if not most:
    return []
  places = np.argpartition(-flat, most - 1)[:most]
  places = places[np.lexsort((places, -flat[places]))]
  chosen: list[Error] = []
  used: dict[int, int] = {}
  for image, label in zip(
    *np.unravel_index(places, wrong_BN.shape), strict=True
  ):
    again = any(error.image == image for error in chosen)
    if again or used.get(int(label), 0) == ERRORS_OF_A_LABEL:
      continue
    used[int(label)] = used.get(int(label), 0) + 1
    chosen.append(Error(int(image), int(label)))
    if len(chosen) == count:
      break
  return chosen


def varied(found: Scored, count: int, most: int) -> list[int]:
  """Returns images whose rightly predicted labels differ as much as can be.

  One after another the image with the most labels that no earlier one shows is
  taken; of several, the one with the highest scores.

  Args:
    found: Predictions.
    count: Largest number of images.
    most: Labels of an image that are shown, its most probable ones.
  """
  right_BN = found.predicted() & (found.labels_BN == 1)
  score_BN = np.where(right_BN, found.scores_BN, 0)
  unseen_N = np.ones(right_BN.shape[1], bool)
  chosen: list[int] = []
  while len(chosen) < count:
    new_B = np.minimum((right_BN & unseen_N).sum(1), most).astype(float)
    new_B[chosen] = 0
    # The highest score decides between equal counts: it is at most 1.
    new_B[new_B > 0] += score_BN[new_B > 0].max(1) * 0.999
    best = int(np.argmax(new_B))
    if not new_B[best]:
      break
    chosen.append(best)
    unseen_N &= ~right_BN[best]
  return chosen
