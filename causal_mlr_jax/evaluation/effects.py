"""How much one label raises another, and how much of it is causation.

An effect matrix holds effect[i, j], by how much label i raises the probability
of label j. Here are two that say no more than what comes with what, and the
comparison of any such matrix with the truth of a data set whose causal model
is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import (
  average_precision,
  check_scores,
)

# A probability that differs by less is the same: rounding of the enumeration.
SAME = 1e-9


class Truth(NamedTuple):
  """What a known causal model says of ordered pairs (i, j) of labels.

  Attributes:
    effect_NN: P(Y_j | do(X_i)) - P(Y_j).
    candidate_NN: pairs of two different objects; scenes are no candidates.
    causal_NN: pairs with a causal edge i -> j.
    spurious_NN: both orders of the biased pairs.
  """

  effect_NN: np.ndarray
  candidate_NN: np.ndarray
  causal_NN: np.ndarray
  spurious_NN: np.ndarray


class Recovery(NamedTuple):
  """How well an effect matrix finds the causal edges.

  Attributes:
    auroc, ap: of the edges among all candidates, the others being pairs
      without any true effect; NaN where there are none of either.
    spurious_auroc, spurious_ap: the others are the biased pairs alone.
    direction: part of the edges i -> j whose effect is larger than that of
      j on i, equal ones counting half.
    spearman: rank correlation with the true effects over all candidates; NaN
      where either is constant.
    edges, without_effect, spurious: how many pairs each rests on.
  """

  auroc: float
  ap: float
  spurious_auroc: float
  spurious_ap: float
  direction: float
  spearman: float
  edges: int
  without_effect: int
  spurious: int


def conditional_frequencies(labels_BN: np.ndarray) -> np.ndarray:
  """Returns P(Y_j | X_i) - P(Y_j) by counting, [N, N].

  Args:
    labels_BN: 1 where the image has the label, else 0.

  Returns:
    Differences; the row of a label without images is NaN.

  Raises:
    UserError: there is no image, or a label is neither 0 nor 1.
  """
  _, positives_BN, _ = check_scores(np.asarray(labels_BN), labels_BN)
  return _raised(positives_BN.astype(np.float64))


def from_predictions(scores_BN: np.ndarray) -> np.ndarray:
  """Returns the same from a recogniser's probabilities, [N, N].

  Σ_n s_ni s_nj / Σ_n s_ni - mean_n s_nj: what the recogniser sees together,
  whatever the reason.

  Args:
    scores_BN: probabilities of every image once.

  Returns:
    Differences; the row of a label that is never seen is NaN.

  Raises:
    UserError: there is no image, or a score is NaN.
  """
  unused_BN = np.zeros(np.shape(scores_BN), np.uint8)
  scores_BN, _, _ = check_scores(scores_BN, unused_BN)
  return _raised(scores_BN)


def _raised(weights_BN: np.ndarray) -> np.ndarray:
  if len(weights_BN) == 0:
    raise UserError(
      f"Effects need images: scores or labels have shape {weights_BN.shape}. "
      "Look at the split and its list of images."
    )
  sum_N = weights_BN.sum(0)
  given_NN = ratio(weights_BN.T @ weights_BN, sum_N[:, None])
  return given_NN - sum_N[None] / len(weights_BN)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Returns part / whole, NaN where the whole is 0."""
  part, whole = np.broadcast_arrays(part, whole)
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def truth(metadata: Mapping[str, Any], world: str) -> Truth:
  """Returns the truth that a data set's metadata hold.

  Args:
    metadata: with `labels`, `stuff`, `biased_pairs`, `causal_edges`, `worlds`.
    world: one of `worlds`, which hold `probability` and `probability_do`.
  """
  labels = list(metadata["labels"])
  facts = metadata["worlds"][world]
  effect_NN = np.asarray(facts["probability_do"], np.float64)
  effect_NN = effect_NN - np.asarray(facts["probability"])[None]
  object_N = ~np.isin(labels, metadata["stuff"])
  candidate_NN = object_N[:, None] & object_N[None]
  np.fill_diagonal(candidate_NN, False)
  edges = [(i, j) for i, j, *_ in metadata["causal_edges"]]
  pairs = [(b, c) for b, c in metadata["biased_pairs"]]
  spurious = [*pairs, *((c, b) for b, c in pairs)]
  return Truth(
    effect_NN, candidate_NN, _marked(labels, edges), _marked(labels, spurious)
  )


def _marked(labels: list[str], pairs: Iterable[tuple[str, str]]) -> np.ndarray:
  marked_NN = np.zeros((len(labels), len(labels)), bool)
  for i, j in pairs:
    marked_NN[labels.index(i), labels.index(j)] = True
  return marked_NN


def recovery(effect_NN: np.ndarray, known: Truth) -> Recovery:
  """Compares an effect matrix with the truth.

  Candidates are ordered pairs of different objects. The causal edges are the
  positives; pairs whose true total effect is 0 are the negatives, all of them
  or the biased pairs among them. Pairs with an indirect effect alone
  (car -> dog -> bone) are neither. Entries that are NaN are left out.

  Args:
    effect_NN: by how much label i (row) raises label j.
    known: from `truth`.

  Raises:
    UserError: the matrix is of other labels.
  """
  effect_NN = np.asarray(effect_NN, np.float64)
  if effect_NN.shape != known.effect_NN.shape:
    raise UserError(
      f"Effects have shape {effect_NN.shape}: expected "
      f"{known.effect_NN.shape}, the labels of the causal model."
    )
  usable_NN = known.candidate_NN & np.isfinite(effect_NN)
  without_NN = usable_NN & (np.abs(known.effect_NN) < SAME)
  found = effect_NN[usable_NN & known.causal_NN]
  others = effect_NN[without_NN & ~known.causal_NN]
  spurious = effect_NN[without_NN & ~known.causal_NN & known.spurious_NN]
  return Recovery(
    auroc(found, others),
    _ap(found, others),
    auroc(found, spurious),
    _ap(found, spurious),
    _direction(effect_NN, usable_NN & usable_NN.T & known.causal_NN),
    _spearman(effect_NN[usable_NN], known.effect_NN[usable_NN]),
    *map(len, (found, others, spurious)),
  )


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
  """Returns the part of (positive, negative) pairs in the right order.

  Equal ones count half (Mann and Whitney 1947); NaN if there are no pairs.
  """
  pairs = len(positives) * len(negatives)
  if not pairs:
    return float("nan")
  ranks = stats.rankdata(np.concatenate([positives, negatives]))
  smallest = len(positives) * (len(positives) + 1) / 2
  return float((ranks[: len(positives)].sum() - smallest) / pairs)


def _ap(positives: np.ndarray, negatives: np.ndarray) -> float:
  if not len(positives) or not len(negatives):
    return float("nan")
  scores = np.concatenate([positives, negatives])[:, None]
  labels = np.zeros(scores.shape, np.uint8)
  labels[: len(positives)] = 1
  return float(average_precision(scores, labels)[0])


def _direction(effect_NN: np.ndarray, edge_NN: np.ndarray) -> float:
  if not edge_NN.any():
    return float("nan")
  ahead = (effect_NN - effect_NN.T)[edge_NN]
  return float(((1 + np.sign(ahead)) / 2).mean())


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
  # SciPy warns of constant input.
  if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
    return float("nan")
  # True effects of 0 are enumerated with rounding errors, which have no rank.
  b = np.where(np.abs(b) < SAME, 0.0, b)
  return float(stats.spearmanr(a, b).statistic)


def strongest(
  effect_NN: np.ndarray, labels: Sequence[str], count: int = 20
) -> list[dict[str, Any]]:
  """Returns the pairs of largest effect by name, falling.

  Args:
    effect_NN: NaN is left out, and the effect of a label on itself.
    labels: N names.
    count: how many pairs.
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
