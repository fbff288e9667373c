"""Uncertainty of results: bootstrap over images, intervals over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import (
  check_scores,
  weighted_average_precision,
)
from causal_mlr_jax.evaluation.exclusive_cooccur import (
  Pairs,
  check_pairs,
  groups,
)

# Scores, positives and kept images of a label or pair.
Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


class Interval(NamedTuple):
  """A mean and its two-sided confidence interval.

  `half_width`, `low` and `high` are NaN for a single value, whose spread is
  unknown.
  """

  mean: float
  half_width: float
  low: float
  high: float


def standard_errors(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  pairs: Pairs,
  generator: np.random.Generator,
  *,
  resamples: int = 100,
  valid_BN: np.ndarray | None = None,
) -> dict[str, float]:
  """Returns bootstrap standard errors, over images, of three mean APs.

  Images are resampled with replacement while the model stays the same, so the
  result does not include the variation between training seeds.

  Args:
    scores_BN: Real scores.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices; may be empty.
    generator: Source of the random draws.
    resamples: Number of resamples, at least 2.
    valid_BN: False marks entries to leave out.

  Returns:
    `all`, `exclusive` and `cooccur`, as fractions; NaN without pairs.

  Raises:
    UserError: `resamples` is below 2; see `check_scores` and `check_pairs`.
  """
  scores_BN, labels_BN, valid_BN = check_scores(scores_BN, labels_BN, valid_BN)
  pairs = check_pairs(pairs, labels_BN.shape[1])
  if resamples < 2:
    raise UserError(f"resamples = {resamples}: expected at least 2.")
  images = len(scores_BN)
  # A resample is stored as the number of times that each image was drawn.
  counts_BR = generator.multinomial(
    images, np.full(images, 1 / images), size=resamples
  ).T.copy()
  return {
    kind: _standard_error(
      _problems(kind, scores_BN, labels_BN, valid_BN, pairs), counts_BR
    )
    for kind in ("all", "exclusive", "cooccur")
  }


def _standard_error(
  problems: Iterable[Problem], counts_BR: np.ndarray
) -> float:
  """Returns the deviation of the mean AP over resamples, NaN without two."""
  ap = [
    weighted_average_precision(scores, positive, counts_BR * keep[:, None])
    for scores, positive, keep in problems
  ]
  ap = np.reshape(ap, (-1, counts_BR.shape[1]))
  known = np.isfinite(ap)
  sums_R, known_R = np.where(known, ap, 0).sum(0), known.sum(0)
  means = sums_R[known_R > 0] / known_R[known_R > 0]
  return float(means.std(ddof=1)) if means.size > 1 else float("nan")


def _problems(
  kind: str,
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray,
  pairs: np.ndarray,
) -> Iterator[Problem]:
  """Yields scores, positives and kept images of each label or pair."""
  if kind == "all":
    for n in range(scores_BN.shape[1]):
      yield scores_BN[:, n], labels_BN[:, n], valid_BN[:, n]
    return
  split = groups(labels_BN, pairs, valid_BN)
  group = getattr(split, kind)
  for i, (b, _) in enumerate(pairs):
    yield scores_BN[:, b], group[:, i], group[:, i] | split.other[:, i]


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
  """Returns the mean over seeds and its Student's t confidence interval.

  Args:
    values: One finite number per seed.
    level: Probability that the interval covers the true mean.

  Raises:
    UserError: There are no values, a value is not finite, or `level` is outside
      (0, 1).
  """
  array = np.asarray(values, np.float64).ravel()
  if array.size == 0 or not np.isfinite(array).all():
    raise UserError(
      "An interval needs at least one value, and all values must be finite; "
      f"got {array.tolist()}."
    )
  if not 0 < level < 1:
    raise UserError(f"level = {level}: expected a number between 0 and 1.")
  mean = float(array.mean())
  if array.size == 1:
    half = float("nan")
  else:
    error = array.std(ddof=1) / np.sqrt(array.size)
    half = float(stdtrit(array.size - 1, 0.5 + level / 2) * error)
  return Interval(mean, half, mean - half, mean + half)
