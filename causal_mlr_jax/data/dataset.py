"""Opens a prepared data set: its splits, labels and biased pairs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint

BUILDERS = "causal_mlr_jax.data.builders"
# Data sets that have a configuration and no builder in this version.
WITHOUT_BUILDER = ("coco", "coco_stuff")


class Records(Sequence):
  """The records of a split; one that cannot be read is a clear error."""

  def __init__(self, source: Any, split: str, directory: str):
    self._source, self._split = source, split
    self._directory = directory

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    try:
      return self._source[index]
    except (OSError, ValueError, RuntimeError) as error:
      raise UserError(
        f"Record {index} of the split {self._split!r} in {self._directory} "
        f"cannot be read: {error}. Delete that folder and run again to prepare "
        "it anew."
      ) from error


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A prepared data set.

  Attributes:
    name: the builder's name.
    labels: label names, in the order of the label vectors.
    biased_pairs: (b, c) label indices.
    sources: split to records with random access; a record is a dict with
      `image` (encoded bytes) and `labels` uint8 [N].
    metadata: what else the builder says of the data.
    fingerprint: changes with the builder's version and with the data.
  """

  name: str
  labels: tuple[str, ...]
  biased_pairs: tuple[tuple[int, int], ...]
  sources: Mapping[str, Records]
  metadata: Mapping[str, Any]
  fingerprint: str

  def source(self, split: str) -> Records:
    """Returns the records of a split.

    Raises:
      UserError: no such split.
    """
    if split not in self.sources:
      raise lookup.unknown_name(f"split of {self.name}", split, self.sources)
    return self.sources[split]

  def label_matrix(self, split: str) -> np.ndarray:
    """Returns all label vectors of a split, uint8 [M, N]."""
    source = self.source(split)
    return np.stack([source[i]["labels"] for i in range(len(source))])


def find_builder(name: str, variant: str, directory: str) -> Any:
  """Returns the TFDS builder of a data set, prepared or not.

  Args:
    name: a file's name in `data/builders`.
    variant: a configuration of the builder.
    directory: where prepared data lie.

  Raises:
    UserError: no such data set or variant.
  """
  if name in WITHOUT_BUILDER:
    raise UserError(
      f"The data set {name!r} has a configuration but no builder in this "
      "version, so it cannot be prepared or trained on yet; "
      "configs/context_emoji.py runs without any download."
    )
  if name not in lookup.names(BUILDERS):
    raise lookup.unknown_name("data set", name, lookup.names(BUILDERS))
  builder_class = lookup.module(BUILDERS, name).Builder
  variants = [config.name for config in builder_class.BUILDER_CONFIGS]
  if variant not in variants:
    raise lookup.unknown_name(f"data.variant of {name}", variant, variants)
  path = pathlib.Path(directory).expanduser()
  return builder_class(data_dir=os.fspath(path), config=variant)


def is_prepared(builder: Any) -> bool:
  """Says whether the data set was prepared as a whole."""
  return pathlib.Path(builder.data_dir, "dataset_info.json").exists()


def prepare(builder: Any) -> None:
  """Writes the data set unless it is there; an interrupted one starts anew.

  Raises:
    UserError: the folder cannot be written.
  """
  if is_prepared(builder):
    return
  try:
    builder.download_and_prepare()
  except OSError as error:
    raise UserError(
      f"Cannot prepare the data set {builder.name!r} in {builder.data_dir}: "
      f"{error}. Set --config.data.dir to a folder that can be written and "
      "has room."
    ) from error


def open_prepared(builder: Any) -> Dataset:
  """Opens a prepared data set.

  Raises:
    UserError: it was not prepared, or its files are damaged.
  """
  import tensorflow_datasets as tfds

  if not is_prepared(builder):
    raise UserError(
      f"The data set {builder.name!r} is not in {builder.data_dir}; run with "
      "--mode=train or --mode=confounders to prepare it, or set "
      "--config.data.dir to the folder that holds it."
    )
  raw = {"image": tfds.decode.SkipDecoding()}
  sources = {}
  for split in builder.info.splits:
    source = builder.as_data_source(split, decoders=raw)
    sources[split] = Records(source, split, builder.data_dir)
    sources[split][0], sources[split][len(source) - 1]  # fail now if at all
  metadata = dict(builder.info.metadata)
  labels = tuple(metadata["labels"])
  index = {label: i for i, label in enumerate(labels)}
  pairs = tuple((index[b], index[c]) for b, c in metadata["biased_pairs"])
  sizes = {s: (len(x), _bytes(builder, s)) for s, x in sources.items()}
  return Dataset(
    name=builder.name,
    labels=labels,
    biased_pairs=pairs,
    sources=sources,
    metadata=metadata,
    fingerprint=fingerprint(
      name=builder.name,
      variant=builder.builder_config.name,
      version=str(builder.version),
      sizes=sizes,
      metadata=json.loads(json.dumps(metadata)),
    ),
  )


def _bytes(builder: Any, split: str) -> int:
  return builder.info.splits[split].num_bytes
