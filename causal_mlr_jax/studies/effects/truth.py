"""The effects of a known causal model, and how well a matrix finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import average_precision

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
  found: Any = stats.spearmanr(a, b)  # whose class SciPy makes as it runs
  return float(found.statistic)
