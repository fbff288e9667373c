"""Data sets made from others: with chosen or changed records, or relabelled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset import Dataset, Records


class Relabelled(Sequence):
  """Records whose label vectors are those of another data set."""

  def __init__(self, records: Records, matrix_NM: np.ndarray):
    """Wraps records.

    Args:
      records: of the data set.
      matrix_NM: 1 where its label (row) is the other one's (column).
    """
    self._records, self._matrix = records, matrix_NM

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    record = self._records[index]
    return {**record, "labels": self._map(record["labels"])}

  def part(self, start: str, stop: str) -> Relabelled:
    """Returns a part, see `Records.part`."""
    return Relabelled(self._records.part(start, stop), self._matrix)

  def label_matrix(self) -> np.ndarray:
    """Returns all label vectors, uint8 [images, M]."""
    return self._map(self._records.label_matrix())

  def _map(self, labels: np.ndarray) -> np.ndarray:
    return (labels.astype(np.int32) @ self._matrix).clip(0, 1).astype(np.uint8)


def relabelled(
  target: Dataset,
  labels: Sequence[str],
  shared: Sequence[tuple[str, str]],
) -> tuple[Dataset, np.ndarray]:
  """Returns a data set under another one's labels, and which are shared.

  All images are kept; labels that the target does not have are 0 and must not
  be scored.

  Args:
    target: the data set to test on.
    labels: of the data set that was trained on.
    shared: (its label, the target's label), both names.

  Returns:
    The data set, and the indices of the shared labels, rising.

  Raises:
    UserError: a name is no label, or nothing is shared.
  """
  here = {name: i for i, name in enumerate(labels)}
  there = {name: i for i, name in enumerate(target.labels)}
  wrong = [a for a, _ in shared if a not in here]
  wrong += [b for _, b in shared if b not in there]
  if wrong or not shared:
    raise UserError(
      f"Shared labels of the data set trained on and of {target.name!r}: "
      f"{', '.join(wrong) or 'none at all'} cannot be found; expected names "
      "that are spelled as in the two data sets."
    )
  matrix = np.zeros((len(target.labels), len(labels)), np.int32)
  for a, b in shared:
    matrix[there[b], here[a]] = 1
  view = dataclasses.replace(
    target,
    labels=tuple(labels),
    biased_pairs=(),
    sources={
      name: Relabelled(records, matrix)
      for name, records in target.sources.items()
    },
  )
  return view, np.flatnonzero(matrix.any(0))


class _Rows(Sequence):
  """Records that are made when they are asked for."""

  def __init__(self, record: Callable[[int], Mapping[str, Any]], size: int):
    self._record, self._size = record, size

  def __len__(self):
    return self._size

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    return self._record(index)


def view(
  dataset: Dataset,
  split: str,
  record: Callable[[int], Mapping[str, Any]],
  size: int,
) -> Dataset:
  """Returns a data set with one split, whose records a function gives.

  So changed images take the same way to the model as all others.

  Args:
    dataset: whose labels and pairs it keeps.
    split: name of the split, of no split of the data set.
    record: from 0..size-1 to a record; called from several threads.
    size: number of records.
  """
  rows = Records(_Rows(record, size), split, "")
  return dataclasses.replace(dataset, sources={split: rows})
