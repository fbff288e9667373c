"""The data set of a run: opened, and prepared first if needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import ml_collections

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import read_options
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.pairs_file import with_pairs
from causal_mlr_jax.stages.experiment import Experiment, timed


def prepare(experiment: Experiment) -> Dataset:
  """Opens the data set of a run, and prepares it first if needed.

  Raises:
    UserError: as `open_dataset`.
  """
  section = experiment.config.data
  splits = (
    section.train_split,
    section.validation_split,
    *section.test_splits,
  )
  with timed(experiment, "data"):
    dataset = open_dataset(section, splits, not experiment.reuse_only)
    using = read_options.with_thread_count(read_options.from_config(section))
    dataset = dataclasses.replace(dataset, reading=using)
    return with_pairs(dataset, section.pairs) if section.pairs else dataset


def open_dataset(
  section: ml_collections.ConfigDict,
  splits: Sequence[str],
  may_prepare: bool = True,
) -> Dataset:
  """Opens a data set, and prepares it first if needed.

  Args:
    section: Configuration of the data set, with the keys of `config.data`.
    splits: Splits that it must have.
    may_prepare: Whether it may be prepared now.

  Raises:
    UserError: It cannot be prepared, or lacks a split.
  """
  for split in splits:
    dataset_lib.parse_split(split)  # a wrong name fails before hours of work
  builder = dataset_lib.find_builder(section)
  if may_prepare:
    # The first process prepares the data; then all of them open it.
    with parallel.wait_for_all():
      if jax.process_index() == 0 and not dataset_lib.is_prepared(builder):
        progress.say(f"data: preparing {builder.name} in {builder.data_dir}")
        dataset_lib.prepare(builder)
    builder = dataset_lib.find_builder(section)
  dataset = dataset_lib.open_prepared(builder)
  for split in splits:
    dataset.source(split)
  return dataset


def show(experiment: Experiment, dataset: Dataset) -> None:
  """Prints what the prepared data set holds."""
  sizes = (f"{name} {len(x):,}" for name, x in dataset.sources.items())
  folder = experiment.config.data.dir
  progress.say(
    f"data: {dataset.name} in {folder}: {len(dataset.labels)} labels, "
    f"{len(dataset.biased_pairs)} biased pairs; images: {', '.join(sizes)}"
  )
  skipped = dataset.metadata.get("skipped", [])
  if skipped:
    progress.say(f"data: {len(skipped)} image(s) could not be read: {skipped}")
