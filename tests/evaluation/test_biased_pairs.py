"""How biased pairs are found, against the published run and by hand."""

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation import biased_pairs


def test_published_values(golden):
  data = golden("exclusive_cooccur_ap")
  held_out = np.zeros(len(data["input/labels"]), bool)
  held_out[data["input/split_20"]] = True
  labels = data["input/labels"]
  found = biased_pairs.contexts(
    data["input/scores"][held_out], labels[held_out], labels[~held_out]
  )
  label, context, bias = data["output/bias_pairs"].T
  np.testing.assert_array_equal(found.context_N, context)
  np.testing.assert_allclose(found.bias_N, bias, rtol=1e-6)
  pairs = biased_pairs.strongest(found, count=2)
  order = np.argsort(-bias)[:2]
  np.testing.assert_array_equal(pairs, np.stack([label, context], 1)[order])


def test_bias_is_the_ratio_of_mean_scores(rng):
  labels = rng.random((60, 4)) < 0.5
  scores = rng.random((60, 4))
  got = biased_pairs.bias(scores, labels)
  for b in range(4):
    for z in range(4):
      both, alone = labels[:, b] & labels[:, z], labels[:, b] & ~labels[:, z]
      want = 0
      if both.any() and alone.any():
        want = scores[both, b].mean() / scores[alone, b].mean()
      assert got[b, z] == pytest.approx(want)
  assert (np.diag(got) == 0).all()


def test_a_rare_companion_is_no_context():
  # Label 0 scores best with 1, which is with it in a tenth of its images.
  labels = np.zeros((20, 3), int)
  labels[:10, 0] = labels[:5, 2] = labels[0, 1] = 1
  scores = np.full((20, 3), 0.1)
  scores[:5, 0], scores[0, 0] = 0.2, 0.9
  rare = biased_pairs.contexts(scores, labels, labels, threshold=0.1)
  assert rare.context_N[0] == 1
  usual = biased_pairs.contexts(scores, labels, labels, threshold=0.2)
  assert usual.context_N[0] == 2
  assert usual.bias_N[0] == pytest.approx((0.9 + 4 * 0.2) / 5 / 0.1)


def test_labels_that_stand_alone_have_no_context_and_make_no_pair():
  labels = np.eye(3, dtype=int)[[0, 0, 1, 1, 2]]
  scores = np.full(labels.shape, 0.5)
  for threshold in (0.0, 0.2):
    found = biased_pairs.contexts(scores, labels, labels, threshold=threshold)
    np.testing.assert_array_equal(found.context_N, -1)
    np.testing.assert_array_equal(found.bias_N, 0)
    assert biased_pairs.strongest(found).shape == (0, 2)


def test_scores_of_zero_give_no_bias_and_no_warning():
  labels = np.asarray([[1, 1], [1, 0], [0, 1]])
  assert (biased_pairs.bias(np.zeros((3, 2)), labels) == 0).all()


def test_parts_with_other_labels_are_refused():
  with pytest.raises(UserError, match=r"\[images, 2\]"):
    biased_pairs.contexts(np.ones((3, 2)), np.eye(3)[:, :2], np.eye(3))
