"""What no method had to predict is not counted."""

import numpy as np

from causal_mlr_jax.data.known_labels import known_label_state
from causal_mlr_jax.stages.evaluation import unknown_labels
from causal_mlr_jax.stages.experiment import SideInputs


def side_inputs(**examples):
  return SideInputs({}, {}, examples, lambda variables: variables, {})


def test_labels_that_a_method_is_told_are_left_out():
  rng = np.random.default_rng(0)
  labels = (rng.random((40, 10)) < 0.3).astype(np.float32)
  draw = known_label_state(0.4)
  found = unknown_labels(labels, side_inputs(label_state=draw))
  assert found.shape == labels.shape
  assert (found.sum(1) == 6).all()
  # The same ones again, and others for another image.
  again = unknown_labels(labels, side_inputs(label_state=draw))
  np.testing.assert_array_equal(found, again)
  assert len(np.unique(found, axis=0)) > 1
  told = draw(3, labels[3], None)
  np.testing.assert_array_equal(told[~found[3]], labels[3][~found[3]])


def test_without_such_labels_all_are_counted():
  assert unknown_labels(np.zeros((2, 3)), side_inputs()) is None
