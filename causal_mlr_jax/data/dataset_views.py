"""Data sets derived from others: relabelled, or with changed records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset import Dataset, Records


class Relabelled(Sequence):
  """Records with their labels mapped to the labels of another data set."""

  def __init__(self, records: Records, matrix_NM: np.ndarray):
    """Wraps records.

    Args:
      records: Records with N labels.
      matrix_NM: 1 where a label (row) corresponds to one of the M labels of the
        other data set (column), else 0.
    """
    self._records, self._matrix = records, matrix_NM

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    record = self._records[index]
    return {**record, "labels": self._map(record["labels"])}

  def part(self, start: str, stop: str) -> Relabelled:
    """Returns a part of the records; see `Records.part`."""
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
  """Maps a data set to the labels of another one.

  All images are kept; labels that the target does not have are 0 and must not
  be scored.

  Args:
    target: Data set to test on.
    labels: Labels of the data set that was trained on.
    shared: Pairs of names: the label trained on, and the target's label.

  Returns:
    The relabelled data set, and the sorted indices of the shared labels.

  Raises:
    UserError: A name is not a label, or there are no shared labels.
  """
  here = {name: i for i, name in enumerate(labels)}
  there = {name: i for i, name in enumerate(target.labels)}
  wrong = [a for a, _ in shared if a not in here]
  wrong += [b for _, b in shared if b not in there]
  if wrong or not shared:
    raise UserError(
      f"Shared labels of the data set trained on and of {target.name!r}: "
      f"{', '.join(wrong) or 'none at all'} cannot be found; expected names "
      "spelled as in the two data sets."
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
  """Records that are computed on access."""

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
  """Returns a data set with a single split, whose records a function computes.

  Changed images thereby pass through the same pipeline as all others.

  Args:
    dataset: Data set whose labels and pairs are kept.
    split: Name of the new split; must not be one of the data set's own.
    record: Function from an index in 0..size-1 to a record; called from several
      threads.
    size: Number of records.
  """
  rows = Records(_Rows(record, size), split, "")
  return dataclasses.replace(dataset, sources={split: rows})
