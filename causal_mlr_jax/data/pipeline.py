"""Batches for training and evaluation, by grain.

Training: an endless, shuffled, augmented stream whose order depends on the
seed alone, not on the number of processes, and whose place can be saved and
restored exactly. Evaluation: every example of a split once; what fills the
last batch has mask 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grain
import jax
import numpy as np

from causal_mlr_jax.data import preprocess as preprocess_lib
from causal_mlr_jax.data.dataset import Dataset

# Decoding and cropping release the GIL only in part: more threads than this
# bring nothing on small images.
THREADS = 4
PREFETCH = 64


def train_batches(
  dataset: Dataset,
  split: str,
  preprocess: str,
  batch_size: int,
  seed: int,
  tables: Mapping[str, np.ndarray] | None = None,
) -> grain.DatasetIterator:
  """Returns an endless iterator of this process's part of the batches.

  Args:
    dataset: a prepared data set.
    split: which split.
    preprocess: see `preprocess`.
    batch_size: of the global batch; the processes must divide it.
    seed: of the order and of the augmentation.
    tables: further arrays [M, ...], one row an example of the split; a
      batch carries its rows under the same name.

  Returns:
    An iterator with `get_state` and `set_state` over dicts `image` uint8
    [B, H, W, 3], `labels` float32 [B, N], `mask`, `index` and the tables.
  """
  source = dataset.source(split)
  op = preprocess_lib.parse(preprocess)
  processes, process = jax.process_count(), jax.process_index()

  def load(index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return _example(source[index], index, op, rng, tables)

  return iter(
    grain.MapDataset.range(len(source))
    .seed(seed)
    .shuffle()
    .repeat()
    # Shared out last, so that a global batch holds the same examples, and
    # the same random choices, however many processes share it. What the
    # others take is not computed.
    .random_map(load)
    .slice(slice(process, None, processes))
    .batch(batch_size // processes, drop_remainder=True)
    .to_iter_dataset(grain.ReadOptions(THREADS, PREFETCH))
  )


def evaluation_batches(
  dataset: Dataset,
  split: str,
  preprocess: str,
  batch_size: int,
) -> Iterator[dict[str, np.ndarray]]:
  """Iterates once over a split, in order, the last batch padded.

  Args:
    dataset: a prepared data set.
    split: which split.
    preprocess: see `preprocess`; must make no random choice.
    batch_size: of the global batch; the processes must divide it.

  Returns:
    An iterator over dicts as of `train_batches`; `mask` is 0 on padding.
  """
  source = dataset.source(split)
  op = preprocess_lib.parse(preprocess)
  size = len(source)
  processes, process = jax.process_count(), jax.process_index()
  padded = num_evaluation_batches(dataset, split, batch_size) * batch_size

  def load(place: int) -> dict[str, np.ndarray]:
    index = min(place, size - 1)
    rng = np.random.default_rng(index)
    example = _example(source[index], index, op, rng, None)
    return example | {"mask": np.float32(place < size)}

  return iter(
    grain.MapDataset.range(padded)
    .slice(slice(process, None, processes))
    .map(load)
    .batch(batch_size // processes, drop_remainder=True)
    .to_iter_dataset(grain.ReadOptions(THREADS, PREFETCH))
  )


def num_evaluation_batches(
  dataset: Dataset, split: str, batch_size: int
) -> int:
  """Returns how many batches `evaluation_batches` yields."""
  return -(-len(dataset.source(split)) // batch_size)


def _example(
  record: Mapping[str, object],
  index: int,
  op: preprocess_lib.Op,
  rng: np.random.Generator,
  tables: Mapping[str, np.ndarray] | None,
) -> dict[str, np.ndarray]:
  rows = {name: table[index] for name, table in (tables or {}).items()}
  return rows | {
    "image": op(record["image"], rng),
    "labels": np.asarray(record["labels"], np.float32),
    "mask": np.float32(1),
    "index": np.int32(index),
  }
