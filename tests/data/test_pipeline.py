import dataclasses
import threading

import joblib
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Records
from causal_mlr_jax.data.read_options import Reading
from causal_mlr_jax.training import learner
from tests import small


def train(dataset, seed=0, batch_size=24, extras=None):
  return pipeline.train_batches(
    dataset,
    "train",
    "decode|random_crop(64, 4)|flip_lr",
    batch_size,
    seed,
    extras,
  )


def take(iterator, count):
  return [next(iterator) for _ in range(count)]


@pytest.mark.parametrize("batch_size", [7, 48, 96, 100])
def test_evaluation_scores_every_image_once(dataset, batch_size):
  batches = list(
    pipeline.evaluation_batches(dataset, "test", "decode", batch_size)
  )
  assert len(batches) == pipeline.num_evaluation_batches(
    dataset, "test", batch_size
  )
  assert all(len(b["image"]) == batch_size for b in batches)
  mask = np.concatenate([b["mask"] for b in batches])
  index = np.concatenate([b["index"] for b in batches])
  np.testing.assert_array_equal(index[mask > 0], np.arange(96))
  labels = np.concatenate([b["labels"] for b in batches])[mask > 0]
  np.testing.assert_array_equal(labels, dataset.label_matrix("test"))


def test_processes_share_an_evaluation_without_loss(dataset, monkeypatch):
  seen = []
  monkeypatch.setattr("jax.process_count", lambda: 3)
  for process in range(3):
    monkeypatch.setattr("jax.process_index", lambda p=process: p)
    batches = list(pipeline.evaluation_batches(dataset, "test", "decode", 15))
    assert [len(batch["index"]) for batch in batches] == 7 * [5]
    for batch in batches:
      seen += batch["index"][batch["mask"] > 0].tolist()
  # In blocks: joined, they are the split in order.
  assert seen == list(range(96))


def test_processes_share_the_same_training_batches(dataset, monkeypatch):
  whole = take(train(dataset), 5)
  monkeypatch.setattr("jax.process_count", lambda: 3)
  parts = []
  for process in range(3):
    monkeypatch.setattr("jax.process_index", lambda p=process: p)
    parts.append(take(train(dataset), 5))
  for step, expected in enumerate(whole):
    for key in ("index", "image"):
      # Process p holds the places p, p + 3, ... of the batch.
      got = np.stack([part[step][key] for part in parts], axis=1)
      np.testing.assert_array_equal(
        got.reshape(expected[key].shape), expected[key]
      )


def test_an_epoch_holds_every_example_once_and_epochs_differ(dataset):
  batches = take(train(dataset), 8)
  first = np.concatenate([b["index"] for b in batches[:4]])
  second = np.concatenate([b["index"] for b in batches[4:]])
  assert sorted(first) == sorted(second) == list(range(96))
  assert not np.array_equal(first, second)
  other = np.concatenate([b["index"] for b in take(train(dataset, 1), 4)])
  assert not np.array_equal(first, other)


def test_the_place_in_the_data_comes_back_exactly(dataset):
  iterator = train(dataset)
  take(iterator, 3)
  state = iterator.get_state()
  expected = take(iterator, 4)
  again = train(dataset)
  again.set_state(state)
  for a, b in zip(expected, take(again, 4), strict=True):
    for key in a:
      np.testing.assert_array_equal(a[key], b[key])


def test_tables_travel_with_their_examples(dataset):
  table = np.random.default_rng(0).random((96, 3)).astype(np.float32)
  batch = next(
    train(dataset, extras={"context_share": lambda i, labels, rng: table[i]})
  )
  np.testing.assert_array_equal(batch["context_share"], table[batch["index"]])


def test_images_travel_as_bytes(dataset):
  batch = next(train(dataset))
  assert batch["image"].dtype == np.uint8
  assert batch["image"].shape == (24, 64, 64, 3)


def test_a_wrong_split_names_the_others(dataset):
  with pytest.raises(UserError, match="Did you mean 'validation'"):
    dataset.source("valid")


def test_a_data_set_that_was_cut_off_is_prepared_anew(tmp_path, monkeypatch):
  builder = small.builder(tmp_path)
  generate = type(builder)._generate_examples

  def cut(self, split, count):
    yield from generate(self, split, 3)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(type(builder), "_generate_examples", cut)
    with pytest.raises(KeyboardInterrupt):
      dataset_lib.prepare(builder)
  assert not dataset_lib.is_prepared(builder)
  with pytest.raises(UserError, match="--mode=train"):
    dataset_lib.open_prepared(builder)
  assert len(small.dataset(tmp_path).source("train")) == 96


def test_damaged_records_are_one_clear_error(tmp_path):
  small.dataset(tmp_path)
  shard = next(tmp_path.rglob("*-test.array_record*"))
  shard.write_bytes(shard.read_bytes()[:1000])
  builder = small.builder(tmp_path)
  with pytest.raises(UserError, match="prepare it anew"):
    dataset_lib.open_prepared(builder).label_matrix("test")


@pytest.mark.parametrize(
  "reading",
  [Reading(cache_bytes=0), Reading(cache_bytes=10**5), Reading(threads=7)],
)
def test_threads_and_kept_images_change_no_batch(dataset, reading):
  expected = take(train(dataset), 9)  # two epochs and more
  other = take(train(dataclasses.replace(dataset, reading=reading)), 9)
  for a, b in zip(expected, other, strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key])


def test_threads_are_those_asked_for_as_far_as_their_batches_fit():
  options = Reading().options(10**6)
  assert options.num_threads == max(joblib.cpu_count(), 2)
  assert options.prefetch_buffer_size == 2 * options.num_threads
  assert Reading(threads=100).options(10**6).num_threads == 100
  # 128 images of 448 pixels: 55 batches are 4 GiB.
  large = Reading(threads=40).options(128 * 448 * 448 * 3)
  assert (large.num_threads, large.prefetch_buffer_size) == (40, 55)
  huge = Reading(threads=40).options(2**33)
  assert (huge.num_threads, huge.prefetch_buffer_size) == (1, 1)


def test_examples_are_those_of_evaluation(dataset):
  extras = {"share": lambda i, labels, rng: labels[:2] + i}
  args = dataset, "validation", "decode"
  found = pipeline.examples(*args, 2, extras)
  batch = next(pipeline.evaluation_batches(*args, 5, extras))
  assert found.keys() == batch.keys()
  for key, value in found.items():
    np.testing.assert_array_equal(value, batch[key][:2])


def test_to_know_the_shapes_two_images_are_read(data_dir, dataset, monkeypatch):
  config = small.config("baseline", data_dir)
  read, seen, thread = Records.__getitem__, [], threading.get_ident()

  def spy(self, index):
    # Threads of iterators that other tests have left may still read ahead.
    own = threading.get_ident() == thread
    if own and self._directory == dataset.sources["validation"]._directory:
      seen.append(index)
    return read(self, index)

  monkeypatch.setattr(Records, "__getitem__", spy)
  learner.make_learner(config, dataset, {}, {})
  assert seen == [0, 1]
