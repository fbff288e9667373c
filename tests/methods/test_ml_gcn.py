"""ML-GCN: its graph, the classifiers made from it, what it pools."""

import hypothesis.extra.numpy as npst
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Cooccurrence, Features
from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.methods import ml_gcn
from tests import heads

LABELS, CHANNELS = 4, 6


def side_inputs(seed=0):
  rng = np.random.default_rng(seed)
  return {
    "cooccurrence": cooccurrence(rng.random((30, LABELS)) < 0.5),
    "label_embeddings": rng.normal(size=(LABELS, 5)).astype(np.float32),
  }


def features_of(final):
  return Features({"final": final}, final.mean((1, 2)))


def make_map(height, width=None):
  shape = (2, height, width or height, CHANNELS)
  return jax.random.normal(jax.random.key(height), shape)


def make(**fields):
  head = ml_gcn.Head(LABELS, hidden=7, **fields)
  final = features_of(make_map(3))
  return head, heads.init(head, jax.random.key(0), final, side_inputs())


def run(head, variables, final, side=None):
  side = side_inputs() if side is None else side
  return heads.apply(head, variables, features_of(final), side)


@given(
  npst.arrays(np.float32, (9, LABELS), elements=st.sampled_from([0, 1])),
  st.sampled_from([0.2, 0.25, 0.4, 0.5, 1.0]),
)
def test_graph_is_that_of_its_definition(labels, threshold):
  found = ml_gcn.adjacency(cooccurrence(labels), threshold, 0.25)
  edges = np.zeros((LABELS, LABELS))
  for i in range(LABELS):
    for j in range(LABELS):
      of_i = labels[:, i].sum()
      both = (labels[:, i] * labels[:, j]).sum()
      # Without a quotient, so that a share of exactly τ is seen.
      edges[i, j] = i != j and of_i > 0 and both * 20 >= threshold * 20 * of_i
  want = 0.25 * edges / np.maximum(edges.sum(0), 1) + np.eye(LABELS)
  np.testing.assert_allclose(found, want, atol=1e-6)
  degree = want.sum(1) ** -0.5
  np.testing.assert_allclose(
    ml_gcn.normalised(found), np.diag(degree) @ want.T @ np.diag(degree), 1e-5
  )


def test_a_share_of_exactly_the_threshold_is_an_edge():
  nums = np.arange(5, 2000, 5, dtype=np.float32)
  counts = np.zeros((len(nums), len(nums)), np.float32)
  counts[:, 0] = nums * 2 / 5
  counts[:, 1] = nums * 2 / 5 - 1
  found = ml_gcn.adjacency(Cooccurrence(counts, nums), 0.4, 0.25)
  assert (found[2:, 0] > 0).all()
  assert (found[2:, 1] == 0).all()


def test_published_pools_its_window_alone():
  corrected, variables = make()
  published, _ = make(variant="published", window=3)
  whole = make_map(5, 4)
  inside = whole[:, :3, :3]
  logits = run(published, variables, whole).logits
  np.testing.assert_array_equal(
    logits, run(published, variables, inside).logits
  )
  np.testing.assert_array_equal(
    logits, run(corrected, variables, inside).logits
  )
  assert jnp.abs(logits - run(corrected, variables, whole).logits).max() > 0.01


def test_logits_are_linear_in_the_pooled_map_without_a_bias():
  head, variables = make()
  final = make_map(4)
  output = run(head, variables, final)
  want = final.max((1, 2)) @ output.aux["classifiers"].T
  np.testing.assert_allclose(output.logits, want, 1e-4, 1e-6)
  doubled = run(head, variables, 2 * final).logits
  np.testing.assert_allclose(doubled, 2 * output.logits, 1e-5)
  # Of one position, the activation map is the logit.
  one = run(head, variables, final[:, :1, :1])
  np.testing.assert_allclose(one.aux["attention"][..., 0], one.logits, 1e-4)


def test_labels_without_company_keep_to_themselves():
  head = ml_gcn.Head(LABELS, hidden=7, threshold=1.1)
  side, final = side_inputs(), features_of(make_map(3))
  variables = head.init(jax.random.key(0), final, side, train=False)
  output = head.apply(variables, final, side, train=False)
  np.testing.assert_allclose(output.aux["graph"], np.eye(LABELS), atol=1e-6)
  changed = side["label_embeddings"].copy()
  changed[0] += 1
  other = head.apply(
    variables, final, side | {"label_embeddings": changed}, train=False
  )
  moved = np.abs(output.logits - other.logits).max(0)
  assert moved[0] > 0
  assert (moved[1:] == 0).all()


def test_the_graph_stays_that_of_the_training():
  head, variables = make()
  assert set(variables) == {"params", "constants"}
  other = side_inputs() | {"cooccurrence": side_inputs(1)["cooccurrence"]}
  final = make_map(3)
  np.testing.assert_array_equal(
    run(head, variables, final).logits,
    run(head, variables, final, other).logits,
  )


def test_unknown_variant():
  with pytest.raises(UserError, match=r"method\.variant 'publish'.*published"):
    ml_gcn.Head(LABELS, variant="publish")
