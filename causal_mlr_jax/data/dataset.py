"""Opens a prepared data set: its splits, labels and biased pairs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.data.convert import image_builder, tfds_files
from causal_mlr_jax.data.read_options import DEFAULT, Reading

BUILDERS = "causal_mlr_jax.data.builders"
_BOUND = r"(\d+|\d\d?%|100%)?"
_SPLIT = re.compile(rf"([^\[\]]+)(?:\[{_BOUND}:{_BOUND}\])?")


class SplitPart(NamedTuple):
  """A split, or a part of its records.

  Attributes:
    name: Name of the split.
    start: First record, as a number or a percentage such as '95%'; '' stands
      for the beginning.
    stop: End of the part (exclusive), in the same form; '' stands for the end.
  """

  name: str
  start: str
  stop: str


def parse_split(text: str) -> SplitPart:
  """Reads 'train', 'train[:95%]', 'train[95%:]', 'train[100:200]'.

  Raises:
    UserError: The text has none of these forms.
  """
  match = _SPLIT.fullmatch(text)
  if match is None:
    raise UserError(
      f"Split {text!r}: expected the name of a split, or a part of it such as "
      "'train[:95%]', 'train[95%:]' or 'train[100:200]'."
    )
  return SplitPart(*(group or "" for group in match.groups()))


class Records(Sequence):
  """The records of a split; an unreadable record raises a `UserError`.

  A record is a dict with `image` (encoded bytes), `labels` uint8 [N] and
  whatever else the builder stores.
  """

  def __init__(self, source: Any, split: str, directory: str):
    self._source, self._split = source, split
    self._directory = directory
    self._rows = range(len(source))

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    row = self._rows[index]
    try:
      return self._source[row]
    except (OSError, ValueError, RuntimeError) as error:
      raise self._damaged(f"Record {row}", error) from error

  def part(self, start: str, stop: str) -> Records:
    """Returns the records between two bounds; see `SplitPart`.

    Raises:
      UserError: A bound is out of range, or there is no record between them.
    """
    size = len(self._source)
    first, end = _place(start or "0", size), _place(stop or "100%", size)
    if not 0 <= first < end <= size:
      raise UserError(
        f"Split '{self._split}[{start}:{stop}]' holds no image: the split "
        f"{self._split!r} has {size:,} images, and the part would be {first:,} "
        f"to {end:,}."
      )
    found = Records(self._source, self._split, self._directory)
    found._rows = range(first, end)
    return found

  def label_matrix(self) -> np.ndarray:
    """Returns all label vectors, uint8 [M, N]."""
    path = tfds_files.labels_file(pathlib.Path(self._directory), self._split)
    if not path.exists():
      return np.stack([self[i]["labels"] for i in range(len(self))])
    try:
      labels = np.load(path, allow_pickle=False)
      if len(labels) != len(self._source):
        raise ValueError(f"{len(labels)} rows, not {len(self._source)}")
    except (OSError, ValueError, EOFError) as error:
      raise self._damaged(path.name, error) from error
    return labels[self._rows.start : self._rows.stop]

  def _damaged(self, what: str, error: Exception) -> UserError:
    return UserError(
      f"{what} of the split {self._split!r} in {self._directory} cannot be "
      f"read: {error}. Delete that folder and run again to prepare it anew."
    )


def _place(bound: str, size: int) -> int:
  # Both bounds round down, so '[:95%]' and '[95%:]' together are the split.
  return size * int(bound[:-1]) // 100 if bound[-1] == "%" else int(bound)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A prepared data set.

  Attributes:
    name: Name of the builder.
    labels: Label names, in the order of the label vectors.
    biased_pairs: (b, c) label indices.
    sources: Records of each split, with random access; a record is a dict with
      `image` (encoded bytes) and `labels` uint8 [N].
    metadata: Further facts that the builder stores about the data.
    fingerprint: Hash that depends on the builder's version and on the data.
    reading: Resources that the input pipeline may use.
  """

  name: str
  labels: tuple[str, ...]
  biased_pairs: tuple[tuple[int, int], ...]
  sources: Mapping[str, Records]
  metadata: Mapping[str, Any]
  fingerprint: str
  reading: Reading = DEFAULT

  def source(self, split: str) -> Records:
    """Returns the records of a split or of a part of it; see `parse_split`.

    Raises:
      UserError: There is no such split, or the part is empty.
    """
    name, start, stop = parse_split(split)
    if name not in self.sources:
      raise lookup.unknown_name(f"split of {self.name}", name, self.sources)
    return self.sources[name].part(start, stop)

  def label_matrix(self, split: str) -> np.ndarray:
    """Returns the label vectors of a split or of a part, uint8 [M, N]."""
    return self.source(split).label_matrix()


def find_builder(section: ml_collections.ConfigDict) -> Any:
  """Returns the builder of a data set, prepared or not.

  Args:
    section: Section `data` of the configuration.

  Returns:
    A TFDS builder, or an `ImageBuilder` for official files.

  Raises:
    UserError: There is no such data set, variant or option; or official files
      are needed and `manual_dir` does not say where they are.
  """
  name, choices = section.name, lookup.names(BUILDERS)
  if name not in choices:
    raise lookup.unknown_name("data set", name, choices)
  module = lookup.module(BUILDERS, name)
  directory = pathlib.Path(section.dir).expanduser()
  if hasattr(module, "Builder"):
    variants = [config.name for config in module.Builder.BUILDER_CONFIGS]
  else:
    variants = ["default"]  # the options determine the folder's name
  if section.variant not in variants:
    kind = f"data.variant of {name}"
    raise lookup.unknown_name(kind, section.variant, variants)
  if hasattr(module, "Builder"):
    for option in section.options:
      raise UserError(f"The data set {name!r} has no option {option!r}.")
    return module.Builder(data_dir=os.fspath(directory), config=section.variant)
  builder = image_builder.make(
    name,
    module,
    directory,
    section.manual_dir,
    section.options.to_dict(),
    section.max_bad_images,
  )
  if not is_prepared(builder):
    builder.root  # noqa: B018, raise now rather than later
  return builder


def is_prepared(builder: Any) -> bool:
  """Returns whether the data set was prepared completely."""
  return pathlib.Path(builder.data_dir, "dataset_info.json").exists()


def check_files(section: ml_collections.ConfigDict) -> None:
  """Checks that a data set is prepared or that its official files are present.

  Args:
    section: Section `data` of the configuration.

  Raises:
    UserError: See `find_builder`; or files are missing, which it lists.
  """
  builder = find_builder(section)
  official = isinstance(builder, image_builder.ImageBuilder)
  if official and not is_prepared(builder):
    builder.check_files()


def prepare(builder: Any) -> None:
  """Writes the data set unless it is already prepared.

  After an interruption, a conversion of official files is resumed; a data set
  that is computed is started again from the beginning.

  Raises:
    UserError: The folder cannot be written, or the official files are wrong.
  """
  if is_prepared(builder):
    return
  try:
    builder.download_and_prepare()
  except OSError as error:
    raise UserError(
      f"Cannot prepare the data set {builder.name!r} in {builder.data_dir}: "
      f"{error}. Set --config.data.dir to a folder that can be written and "
      "has enough space."
    ) from error


def open_prepared(builder: Any) -> Dataset:
  """Opens a prepared data set from the metadata in its folder.

  Raises:
    UserError: The data set was not prepared, or its files are damaged.
  """
  import tensorflow_datasets as tfds

  folder = str(builder.data_dir)
  if not is_prepared(builder):
    raise UserError(
      f"The data set {builder.name!r} is not in {folder}; run with "
      "--mode=train or --mode=confounders to prepare it, or set "
      "--config.data.dir to the folder that holds it."
    )
  raw = {"image": tfds.decode.SkipDecoding()}
  try:
    # TFDS decorates `as_data_source` without its type.
    found: Any = tfds.builder_from_directory(folder)
    metadata = dict(found.info.metadata)
    sources = {
      split: Records(found.as_data_source(split, decoders=raw), split, folder)
      for split in found.info.splits
    }
  except Exception as error:  # TFDS raises nearly every kind of exception
    raise UserError(
      f"The data set in {folder} is damaged: {error}. Delete that folder and "
      "run again to prepare it anew."
    ) from error
  for records in sources.values():
    _ = records[0], records[len(records) - 1]  # fail now rather than later
  labels = tuple(metadata["labels"])
  index = {label: i for i, label in enumerate(labels)}
  pairs = tuple((index[b], index[c]) for b, c in metadata["biased_pairs"])
  num_bytes = {s: info.num_bytes for s, info in found.info.splits.items()}
  return Dataset(
    name=builder.name,
    labels=labels,
    biased_pairs=pairs,
    sources=sources,
    metadata=metadata,
    fingerprint=fingerprint(
      name=builder.name,
      variant=found.builder_config.name,
      version=str(found.version),
      sizes={s: (len(x), num_bytes[s]) for s, x in sources.items()},
      metadata=json.loads(json.dumps(metadata)),
    ),
  )
