"""A data set under another one's labels."""

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset_views import relabelled

LABELS = ("feline", "nothing", "bike", "cat-like")


def test_labels_are_mapped_and_the_rest_is_left_out(dataset):
  shared = [("feline", "cat"), ("bike", "bicycle")]
  view, columns = relabelled(dataset, LABELS, shared)
  np.testing.assert_array_equal(columns, [0, 2])
  assert view.labels == LABELS
  assert view.biased_pairs == ()
  own = dataset.label_matrix("test")
  got = view.label_matrix("test")
  cat, bicycle = (dataset.labels.index(x) for x in ("cat", "bicycle"))
  np.testing.assert_array_equal(got[:, 0], own[:, cat])
  np.testing.assert_array_equal(got[:, 2], own[:, bicycle])
  assert not got[:, [1, 3]].any()
  records = view.source("test[10:20]")
  assert len(records) == 10
  for i, record in enumerate(records):
    np.testing.assert_array_equal(record["labels"], got[10 + i])
    assert record["image"] == dataset.source("test")[10 + i]["image"]


def test_two_labels_of_the_target_can_be_one(dataset):
  shared = [("feline", "cat"), ("feline", "dog")]
  view, _ = relabelled(dataset, LABELS, shared)
  own = dataset.label_matrix("test")
  cat, dog = (dataset.labels.index(x) for x in ("cat", "dog"))
  want = np.maximum(own[:, cat], own[:, dog])
  np.testing.assert_array_equal(view.label_matrix("test")[:, 0], want)


@pytest.mark.parametrize("shared", [[], [("feline", "lion")], [("x", "cat")]])
def test_wrong_names(dataset, shared):
  with pytest.raises(UserError, match=r"lion|none at all|x"):
    relabelled(dataset, LABELS, shared)
