"""Which images confounders are made from: of training, of the test, or both.

Of the images tested on no label is read: they are adapted to, not learned
from. It is a transductive use of the test set all the same.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.derived import view

DATA = ("source", "target", "both")
# The split that stands for several.
JOINED = "joined"


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

  def chosen(self) -> Split:
    """Returns all that is clustered as one split, in order.

    It has no labels where images of the test are among it.
    """
    return self.train if self.data == "source" else joined(self._splits())

  def described(self) -> str:
    """Returns what is clustered, in words for a report."""
    names = ", ".join(map(str, self._splits()))
    return names if self.data == "source" else f"{names}, without labels"

  def _splits(self) -> tuple[Split, ...]:
    if self.data == "source":
      return (self.train,)
    return self.target if self.data == "target" else (self.train, *self.target)

  def identity(self) -> dict[str, Any]:
    """Returns what a fingerprint needs besides the training split, JSON-able.

    It is empty for 'source'.
    """
    if self.data == "source":
      return {}
    target = [[dataset.fingerprint, name] for dataset, name in self.target]
    return {"of": self.data, "target": target}


def joined(splits: Sequence[Split]) -> Split:
  """Returns splits one after another as one, without labels.

  The splits may have other labels each, and nothing reads them.
  """
  records = [dataset.source(name) for dataset, name in splits]
  stops = list(itertools.accumulate(map(len, records)))

  def record(index: int) -> Mapping[str, Any]:
    split = bisect.bisect_right(stops, index)
    first = stops[split] - len(records[split])
    image = records[split][index - first]["image"]
    return {"image": image, "labels": np.zeros(0, np.uint8)}

  unlabelled = dataclasses.replace(
    splits[0].dataset, labels=(), biased_pairs=()
  )
  return Split(view(unlabelled, JOINED, record, stops[-1]), JOINED)
