"""A data set before its conversion: image files and their labels."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Item(NamedTuple):
  """One image of a split.

  Attributes:
    path: Path of the image file.
    labels: Labels 0 or 1, uint8 [N].
    image_id: The data set's own number or name of the image.
  """

  path: pathlib.Path
  labels: np.ndarray
  image_id: str


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set as its official files describe it.

  Attributes:
    labels: N names, in the order of the label vectors.
    biased_pairs: (b, c) label names; may be empty.
    splits: Images of each split.
    description: Sources and licences, for people.
    citation: BibTeX entries.
    homepage: Where the official files can be downloaded.
    metadata: Further facts about the data set, JSON-serialisable.
  """

  labels: tuple[str, ...]
  biased_pairs: tuple[tuple[str, str], ...]
  splits: Mapping[str, Sequence[Item]]
  description: str
  citation: str = ""
  homepage: str = ""
  metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
