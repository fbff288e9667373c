"""Converts official files as the program does, and opens the result."""

import ml_collections
import numpy as np

from causal_mlr_jax.data import dataset as dataset_lib


def prepared(name, manual_dir, data_dir, options, max_bad_images=0):
  """Returns the opened data set."""
  section = ml_collections.ConfigDict(
    {
      "name": name,
      "variant": "default",
      "dir": str(data_dir),
      "manual_dir": str(manual_dir),
      "max_bad_images": max_bad_images,
      "options": options,
    }
  )
  builder = dataset_lib.find_builder(section)
  dataset_lib.prepare(builder)
  return dataset_lib.open_prepared(builder)


def check_the_same(dataset, source):
  """The records of a data set are the images and labels of its source."""
  assert dataset.labels == source.labels
  pairs = [
    (source.labels[b], source.labels[c]) for b, c in dataset.biased_pairs
  ]
  assert pairs == list(source.biased_pairs)
  assert dataset.sources.keys() == source.splits.keys()
  for split, items in source.splits.items():
    wanted = {item.image_id: item for item in items}
    records = dataset.source(split)
    assert len(records) == len(wanted)
    for record in records:
      name = record["image_id"]
      item = wanted.pop(name.decode() if isinstance(name, bytes) else name)
      assert bytes(record["image"]) == item.path.read_bytes()
      np.testing.assert_array_equal(record["labels"], item.labels)
    assert not wanted
