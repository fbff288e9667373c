"""The effects in a known causal model, and how well a matrix recovers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation.average_precision import average_precision

# Differences of probabilities below this are rounding of the enumeration.
SAME = 1e-9


class Truth(NamedTuple):
  """Properties of ordered pairs (i, j) of labels in a known causal model.

  Attributes:
    effect_NN: Total effect P(Y_j | do(X_i)) - P(Y_j).
    candidate_NN: Pairs of two different objects; scenes are not candidates.
    causal_NN: Pairs with a causal edge i -> j.
    spurious_NN: Biased pairs, in both orders.
  """

  effect_NN: np.ndarray
  candidate_NN: np.ndarray
  causal_NN: np.ndarray
  spurious_NN: np.ndarray


class Recovery(NamedTuple):
  """How well an effect matrix recovers the causal edges.

  Attributes:
    auroc, ap: AUROC and AP with edges as positives and candidates without any
      true effect as negatives; NaN if there are no positives or no negatives.
    spurious_auroc, spurious_ap: The same with only the biased pairs as
      negatives.
    direction: Fraction of edges i -> j with a larger effect than that of j on
      i; ties count half.
    spearman: Rank correlation with the true effects over all candidates; NaN
      if either is constant.
    edges, without_effect, spurious: Numbers of pairs.
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
  """Returns the truth recorded in a data set's metadata.

  Args:
    metadata: Metadata with `labels`, `stuff`, `biased_pairs`, `causal_edges`
      and `worlds`.
    world: One of `worlds`, which hold `probability` and `probability_do`.
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
  positives. The negatives are the pairs whose true total effect is 0: all of
  them, or only the biased pairs among them. Pairs with only an indirect effect
  (car -> dog -> bone) are neither. NaN entries are left out.

  Args:
    effect_NN: Effects, by how much label i (row) raises label j.
    known: The truth, from `truth`.

  Raises:
    UserError: The matrix has another shape than the truth.
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
  """Returns the fraction of (positive, negative) pairs in the right order.

  Ties count half (Mann and Whitney 1947); NaN if there are no pairs.
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
  # SciPy would warn of constant input.
  if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
    return float("nan")
  # The enumeration gives true effects of 0 rounding errors, which would be
  # ranked.
  b = np.where(np.abs(b) < SAME, 0.0, b)
  found: Any = stats.spearmanr(a, b)  # whose class SciPy makes as it runs
  return float(found.statistic)
