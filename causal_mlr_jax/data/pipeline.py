"""Batches for training and evaluation, made with Grain.

Training: an endless, shuffled, augmented stream. Its order depends only on the
seed, not on the number of processes, and its position can be saved and restored
exactly. Evaluation: every example of a split once; the padding of the last
batches has mask 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import grain
import jax
import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import decoded_cache
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.preprocess import op_string as preprocess_lib

# Computes a further entry of an example from its index in the split, its labels
# [N] and its random generator.
ExampleInput = Callable[[int, np.ndarray, np.random.Generator], np.ndarray]
# One example, before examples are stacked: arrays, and numbers of NumPy.
Example = dict[str, np.ndarray | np.number]


def train_batches(
  dataset: Dataset,
  split: str,
  preprocess: str,
  batch_size: int,
  seed: int,
  example_inputs: Mapping[str, ExampleInput] | None = None,
) -> grain.DatasetIterator:
  """Returns an endless iterator over this process's part of the batches.

  Args:
    dataset: Prepared data set; its `reading` sets threads and memory.
    split: Name of the split.
    preprocess: Preprocessing string; see `preprocess`.
    batch_size: Size of the global batch; a multiple of the number of processes.
    seed: Seed of the order and of the augmentation.
    example_inputs: Functions for further entries of a batch, by name.

  Returns:
    An iterator with `get_state` and `set_state` over dicts with `image` uint8
    [B, H, W, 3], `labels` float32 [B, N], `mask`, `index` and the further
    entries.
  """
  source, reading = dataset.source(split), dataset.reading
  op = preprocess_lib.parse(preprocess)
  rest = preprocess_lib.after_decode(preprocess)
  if rest is not None and reading.cache_bytes > 0:
    source, op = decoded_cache.Decoded(source, reading.cache_bytes), rest
    progress.say(
      f"input: decoded images of {split} are kept, up to "
      f"{reading.cache_bytes / 2**20:.0f} MiB"
    )
  processes, process = jax.process_count(), jax.process_index()

  def load(index: int, rng: np.random.Generator) -> Example:
    return _example(source[index], index, op, rng, example_inputs)

  size = batch_size // processes
  first = load(0, np.random.default_rng(0))
  return iter(
    grain.MapDataset.range(len(source))
    .seed(seed)
    .shuffle()
    .repeat()
    # Split between processes after the random map, so that a global batch has
    # the same examples and random choices for any number of processes. Grain
    # does not compute the examples of the other processes.
    .random_map(load)
    .slice(slice(process, None, processes))
    .batch(size, drop_remainder=True)
    .to_iter_dataset(reading.options(size * first["image"].nbytes))
  )


def evaluation_batches(
  dataset: Dataset,
  split: str,
  preprocess: str,
  batch_size: int,
  example_inputs: Mapping[str, ExampleInput] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Iterates once over a split, in order, with padding at the end.

  Each process reads a contiguous block of the split, in the order of the
  processes. All have the same number of batches.

  Args:
    dataset: Prepared data set.
    split: Name of the split.
    preprocess: Preprocessing string without random ops; see `preprocess`.
    batch_size: Size of the global batch; a multiple of the number of processes.
    example_inputs: See `train_batches`; here, their random choices depend only
      on the example's index.

  Returns:
    An iterator over dicts as in `train_batches`; `mask` is 0 on padding.
  """
  load = _evaluation_example(dataset, split, preprocess, example_inputs)
  processes, process = jax.process_count(), jax.process_index()
  size = batch_size // processes
  block = num_evaluation_batches(dataset, split, batch_size) * size
  return iter(
    grain.MapDataset.range(process * block, (process + 1) * block)
    .map(load)
    .batch(size, drop_remainder=True)
    .to_iter_dataset(dataset.reading.options(size * load(0)["image"].nbytes))
  )


def examples(
  dataset: Dataset,
  split: str,
  preprocess: str,
  count: int,
  example_inputs: Mapping[str, ExampleInput] | None = None,
) -> dict[str, np.ndarray]:
  """Returns the first examples of a split as one batch.

  Args:
    dataset: Prepared data set.
    split: Name of the split.
    preprocess: See `evaluation_batches`.
    count: Number of examples; a smaller split is padded with its last example.
    example_inputs: See `evaluation_batches`.
  """
  load = _evaluation_example(dataset, split, preprocess, example_inputs)
  found = [load(place) for place in range(count)]
  return {key: np.stack([each[key] for each in found]) for key in found[0]}


def example(
  dataset: Dataset,
  split: str,
  preprocess: str,
  index: int,
  example_inputs: Mapping[str, ExampleInput] | None = None,
) -> Example:
  """Returns one example of a split.

  Args:
    dataset: Prepared data set.
    split: Name of the split.
    preprocess: See `evaluation_batches`.
    index: Index of the example in the split.
    example_inputs: See `evaluation_batches`.
  """
  return _evaluation_example(dataset, split, preprocess, example_inputs)(index)


def _evaluation_example(
  dataset: Dataset,
  split: str,
  preprocess: str,
  example_inputs: Mapping[str, ExampleInput] | None,
) -> Callable[[int], Example]:
  """Returns a function from an index to its example; the last one pads."""
  source = dataset.source(split)
  op = preprocess_lib.parse(preprocess)
  size = len(source)

  def load(place: int) -> Example:
    index = min(place, size - 1)
    rng = np.random.default_rng(index)
    example = _example(source[index], index, op, rng, example_inputs)
    return example | {"mask": np.float32(place < size)}

  return load


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
  example_inputs: Mapping[str, ExampleInput] | None,
) -> Example:
  try:
    image = op(record["image"], rng)
  except UserError as error:
    raise UserError(f"Record {index}: {error}") from error
  labels = np.asarray(record["labels"], np.float32)
  more = {k: f(index, labels, rng) for k, f in (example_inputs or {}).items()}
  return more | {
    "image": image,
    "labels": labels,
    "mask": np.float32(1),
    "index": np.int32(index),
  }
