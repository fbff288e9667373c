"""How far a number can be trusted: over images, and over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class Interval(NamedTuple):
  """A mean and its two-sided confidence interval.

  `half_width`, `low` and `high` are NaN for a single value, which says
  nothing about its spread.
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
  """Returns bootstrap standard errors over images of three mean APs.

  The images are drawn anew with replacement; the model stays, so what
  another training seed would change is not in the result.

  Args:
    scores_BN: a real score an image and label.
    labels_BN: 1 where the image has the label, else 0.
    pairs: (b, c) label indices; may be empty.
    generator: source of the draws.
    resamples: how many draws, at least 2.
    valid_BN: False marks entries to leave out.

  Returns:
    `all`, `exclusive` and `cooccur`, as fractions; NaN without pairs.

  Raises:
    UserError: see `check_scores` and `check_pairs`.
  """
  scores_BN, labels_BN, valid_BN = check_scores(scores_BN, labels_BN, valid_BN)
  pairs = check_pairs(pairs, labels_BN.shape[1])
  if resamples < 2:
    raise UserError(f"resamples = {resamples}: expected at least 2.")
  images = len(scores_BN)
  # A resample is how often each image was drawn.
  counts_BR = generator.multinomial(
    images, np.full(images, 1 / images), size=resamples
  ).T.copy()

  def error(kind: str) -> float:
    problems = _problems(kind, scores_BN, labels_BN, valid_BN, pairs)
    ap = [
      weighted_average_precision(s, positive, counts_BR * keep[:, None])
      for s, positive, keep in problems
    ]
    known = np.isfinite(np.reshape(ap, (-1, resamples)))
    sums_R = np.where(known, np.reshape(ap, known.shape), 0).sum(0)
    known_R = known.sum(0)
    means = sums_R[known_R > 0] / known_R[known_R > 0]
    return float(means.std(ddof=1)) if means.size > 1 else float("nan")

  return {kind: error(kind) for kind in ("all", "exclusive", "cooccur")}


def _problems(
  kind: str,
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray,
  pairs: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Yields scores, positives and images to keep, one a label or a pair."""
  if kind == "all":
    for n in range(scores_BN.shape[1]):
      yield scores_BN[:, n], labels_BN[:, n], valid_BN[:, n]
    return
  split = groups(labels_BN, pairs, valid_BN)
  group = getattr(split, kind)
  for i, (b, _) in enumerate(pairs):
    yield scores_BN[:, b], group[:, i], group[:, i] | split.other[:, i]


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
  """Returns the mean over seeds and Student's t interval around it.

  Args:
    values: one number a seed, finite.
    level: probability that the interval covers the mean.

  Raises:
    UserError: no values, or one that is not finite, or a level outside (0, 1).
  """
  array = np.asarray(values, np.float64).ravel()
  if array.size == 0 or not np.isfinite(array).all():
    raise UserError(
      "An interval needs at least one value and finite values only; got "
      f"{array.tolist()}."
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
