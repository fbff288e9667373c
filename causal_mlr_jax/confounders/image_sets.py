"""Selects the images that confounders are made from: training, test or both.

No label of a test image is read: the model adapts to these images but does not
learn from their labels. This is still a transductive use of the test set.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.dataset_views import view

DATA = ("source", "target", "both")
# Name of a split that joins several splits.
JOINED = "joined"


class Split(NamedTuple):
  """A split of a prepared data set.

  Attributes:
    dataset: The data set.
    name: Name of the split, or of a part of it.
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
    data: Choice of images: 'source', the training images; 'target', the test
      images; 'both', all of them, so that the larger set weighs more.
    train: The training split.
    target: The test splits; not read for 'source'.
    preprocess: Preprocessing of all images, without random operations.
  """

  data: str
  train: Split
  target: tuple[Split, ...]
  preprocess: str

  def chosen(self) -> Split:
    """Returns all images to cluster as one split, in order.

    The split has no labels if it includes test images.
    """
    return self.train if self.data == "source" else joined(self._splits())

  def described(self) -> str:
    """Returns a description of the clustered images for a report."""
    names = ", ".join(map(str, self._splits()))
    return names if self.data == "source" else f"{names}, without labels"

  def _splits(self) -> tuple[Split, ...]:
    if self.data == "source":
      return (self.train,)
    return self.target if self.data == "target" else (self.train, *self.target)

  def identity(self) -> dict[str, Any]:
    """Returns what a fingerprint needs besides the training split.

    It is JSON-serialisable, and empty for 'source'.
    """
    if self.data == "source":
      return {}
    target = [[dataset.fingerprint, name] for dataset, name in self.target]
    return {"of": self.data, "target": target}


def joined(splits: Sequence[Split]) -> Split:
  """Returns the concatenation of splits as one split, without labels.

  The splits may have different labels, and their labels are not read.
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
