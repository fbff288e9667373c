"""Writes the files of a prepared data set in the format of TFDS."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.data.formats.raw_dataset import Item


def labels_file(folder: pathlib.Path, split: str) -> pathlib.Path:
  """Returns the path of the file of a split's label vectors, uint8 [M, N]."""
  return folder / f"labels_{split}.npy"


def shard_name(name: str, split: str, index: int, count: int) -> str:
  """Returns the name that TFDS gives a shard's file."""
  return f"{name}-{split}.array_record-{index:05d}-of-{count:05d}"


def features(num_labels: int) -> Any:
  """Returns the TFDS features of a record with N labels."""
  import tensorflow_datasets as tfds

  return tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(shape=(None, None, 3)),
      "labels": tfds.features.Tensor(shape=(num_labels,), dtype=np.uint8),
      "image_id": tfds.features.Text(),
    }
  )


def write_records(
  path: pathlib.Path,
  items: Sequence[Item],
  images: Sequence[bytes],
  num_labels: int,
) -> int:
  """Writes the records of a shard; equal records give equal bytes.

  Args:
    path: Path of the file.
    items: Labels and ids of the images.
    images: Encoded images, one per item.
    num_labels: N.

  Returns:
    The size of all records, in bytes.

  Raises:
    OSError: The file cannot be written.
  """
  from array_record.python import array_record_module

  total = 0
  try:
    writer = array_record_module.ArrayRecordWriter(
      os.fspath(path), "group_size:1"
    )
    try:
      for record in _records(items, images, num_labels):
        writer.write(record)
        total += len(record)
    finally:
      writer.close()
    with path.open("rb") as file:
      os.fsync(file.fileno())
  except RuntimeError as error:  # array_record raises it for a full disk
    raise OSError(str(error).partition(";")[0]) from error
  return total


def _records(
  items: Sequence[Item], images: Sequence[bytes], num_labels: int
) -> Iterable[bytes]:
  from tensorflow_datasets.core import example_serializer

  described = features(num_labels)
  serializer = example_serializer.ExampleSerializer(
    described.get_serialized_info()
  )
  for item, image in zip(items, images, strict=True):
    record = {
      "image": image,
      "labels": np.asarray(item.labels, np.uint8),
      "image_id": item.image_id,
    }
    example = serializer.get_tf_example(described.encode_example(record))
    # Otherwise the order of a record's fields would differ between runs.
    yield example.SerializeToString(deterministic=True)


def write_labels(
  folder: pathlib.Path, split: str, items: Sequence[Item]
) -> None:
  """Writes the label vectors of a split beside its records."""
  with atomic_files.replacing(labels_file(folder, split)) as file:
    np.save(file, np.stack([np.asarray(x.labels, np.uint8) for x in items]))


def write_metadata(
  folder: pathlib.Path,
  identity: Mapping[str, str],
  texts: Mapping[str, str],
  splits: Mapping[str, Sequence[tuple[int, int]]],
  metadata: Mapping[str, Any],
) -> None:
  """Writes the files that TFDS needs to open a folder of shards.

  Args:
    folder: Folder of the shards.
    identity: `name`, `version` and `config_name`.
    texts: `description`, `citation` and `homepage`.
    splits: For each split, the number of records and of bytes of each shard.
    metadata: JSON-serialisable values, including `labels`.
  """
  import tensorflow_datasets as tfds

  info = tfds.core.DatasetInfo(
    builder=tfds.core.DatasetIdentity(
      name=identity["name"],
      version=tfds.core.Version(identity["version"]),
      data_dir=os.fspath(folder),
      module_name="",
      config_name=identity["config_name"],
    ),
    features=features(len(metadata["labels"])),
    metadata=tfds.core.MetadataDict(json.loads(json.dumps(metadata))),
    disable_shuffling=True,
    description=texts["description"],
    citation=texts["citation"],
    homepage=texts["homepage"],
  )
  info.set_file_format("array_record")
  info.set_splits(
    tfds.core.SplitDict(
      [
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=[records for records, _ in sizes],
          num_bytes=sum(num_bytes for _, num_bytes in sizes),
        )
        for split, sizes in splits.items()
      ]
    )
  )
  info.write_to_directory(folder)
