"""Splits images at random while keeping each label's proportions.

Iterative stratification: Sechidis, Tsoumakas and Vlahavas, "On the
Stratification of Multi-label Data", ECML PKDD 2011, figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_mlr_jax.core.errors import UserError


def assign(
  labels_MN: np.ndarray, parts: Sequence[float], seed: int
) -> np.ndarray:
  """Returns the index of each image's subset, int64 [M].

  The images of the rarest label are assigned first, each to the subset that
  needs the label most; of several such subsets, to the one that needs most
  images. The sizes of the subsets are close to `parts`, but not exact.

  Args:
    labels_MN: Labels 0 or 1.
    parts: Fractions of the subsets; positive, with sum 1.
    seed: Seed of the order of images and of the choice between ties.

  Raises:
    UserError: The parts are not positive or do not sum to 1.
  """
  shares_S = np.asarray(parts, np.float64)
  if (
    shares_S.ndim != 1
    or (shares_S <= 0).any()
    or abs(shares_S.sum() - 1) > 1e-9
  ):
    raise UserError(
      f"Parts of a split are {tuple(parts)}: expected positive numbers that "
      "sum to 1."
    )
  rng = np.random.default_rng(seed)
  labels_MN = np.asarray(labels_MN, bool)
  order = rng.permutation(len(labels_MN))
  result_M = np.full(len(labels_MN), -1, np.int64)
  state = _Wanted(labels_MN[order], shares_S, rng)
  while (label := state.rarest()) is not None:
    having_M = state.left_M & state.labels_MN[:, label]
    for row in np.flatnonzero(having_M).tolist():
      result_M[order[row]] = state.place(row, label)
  for row in np.flatnonzero(state.left_M).tolist():  # without labels: by size
    result_M[order[row]] = state.place(row, None)
  return result_M


class _Wanted:
  """How many images, in all and with each label, the subsets still need."""

  def __init__(
    self,
    labels_MN: np.ndarray,
    shares_S: np.ndarray,
    rng: np.random.Generator,
  ):
    self.labels_MN = labels_MN
    self.left_M = np.ones(len(labels_MN), bool)
    self._counts_N = labels_MN.sum(0)
    self._images_S = shares_S * len(labels_MN)
    self._labels_SN = shares_S[:, None] * self._counts_N
    self._rng = rng

  def rarest(self) -> int | None:
    """Returns the label with the fewest images left, None if none are left."""
    some_N = self._counts_N > 0
    if not some_N.any():
      return None
    fewest = self._counts_N[some_N].min()
    return self._any(np.flatnonzero(self._counts_N == fewest))

  def place(self, row: int, label: int | None) -> int:
    """Chooses an image's subset, updates the counts and returns the subset."""
    subsets = np.arange(len(self._images_S))
    if label is not None:
      subsets = _largest(subsets, self._labels_SN[:, label])
    subset = self._any(_largest(subsets, self._images_S))
    own = np.flatnonzero(self.labels_MN[row])
    self.left_M[row] = False
    self._counts_N[own] -= 1
    self._labels_SN[subset, own] -= 1
    self._images_S[subset] -= 1
    return subset

  def _any(self, choices: np.ndarray) -> int:
    # No draw without a choice, so that few images depend on the same draws.
    if len(choices) == 1:
      return int(choices[0])
    return int(self._rng.choice(choices))


def _largest(subsets: np.ndarray, wanted_S: np.ndarray) -> np.ndarray:
  values = wanted_S[subsets]
  return subsets[values == values.max()]
