"""Chosen or changed records of a data set, as a data set of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from causal_mlr_jax.data.dataset import Dataset, Records


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
