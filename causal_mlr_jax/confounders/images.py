"""Which images confounders are made from: of training, of the test, or both.

Of the images tested on no label is read: they are adapted to, not learned
from. It is a transductive use of the test set all the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset, Records

DATA = ("source", "target", "both")


class Split(NamedTuple):
  """A split of a prepared data set.

  Attributes:
    dataset: the data set.
    name: of the split, or of a part of it.
  """

  dataset: Dataset
  name: str

  @property
  def size(self) -> int:
    """The number of images."""
    return len(self.dataset.source(self.name))

  def __str__(self):
    return f"{self.dataset.name}:{self.name}"


class Images(NamedTuple):
  """The images that confounders may be made from.

  Attributes:
    data: which of them are: 'source', those of training; 'target', those of
      the test; 'both', all together, so that the larger set weighs more.
    train: the training split.
    target: the splits tested on; not read for 'source'.
    preprocess: of all images, without random choices.
  """

  data: str
  train: Split
  target: tuple[Split, ...]
  preprocess: str

  def chosen(self) -> tuple[Split, ...]:
    """Returns the splits that are clustered; those of the test have no labels.

    Splits that stand together may have other labels, so none has any.
    """
    if self.data == "source":
      return (self.train,)
    splits = (
      self.target if self.data == "target" else (self.train, *self.target)
    )
    return tuple(Split(unlabelled(d), name) for d, name in splits)

  def described(self) -> str:
    """Returns what is clustered, in words for a report."""
    names = ", ".join(map(str, self.chosen()))
    return names if self.data == "source" else f"{names}, without labels"

  def identity(self) -> dict[str, Any]:
    """Returns what a fingerprint needs besides the training split, JSON-able.

    It is empty for 'source'.
    """
    if self.data == "source":
      return {}
    target = [[dataset.fingerprint, name] for dataset, name in self.target]
    return {"of": self.data, "target": target}


class Unlabelled(Sequence):
  """Records whose labels are left out: nothing reads them."""

  def __init__(self, records: Records):
    """Wraps records."""
    self._records = records

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    image = self._records[index]["image"]
    return {"image": image, "labels": np.zeros(0, np.uint8)}

  def part(self, start: str, stop: str) -> Unlabelled:
    """Returns a part, see `Records.part`."""
    return Unlabelled(self._records.part(start, stop))


def unlabelled(dataset: Dataset) -> Dataset:
  """Returns a data set without its labels."""
  return dataclasses.replace(
    dataset,
    labels=(),
    biased_pairs=(),
    sources={k: Unlabelled(records) for k, records in dataset.sources.items()},
  )


def batches(
  splits: Sequence[Split], preprocess: str, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
  """Iterates once over splits, one after another, `index` counting through.

  Args:
    splits: with as many labels each.
    preprocess: see `data/preprocess.py`; must make no random choice.
    batch_size: of the global batch; the processes must divide it.

  Yields:
    Dicts as of `pipeline.evaluation_batches`.
  """
  start = 0
  for split in splits:
    for batch in pipeline.evaluation_batches(*split, preprocess, batch_size):
      yield batch | {"index": batch["index"] + np.int32(start)}
    start += split.size
