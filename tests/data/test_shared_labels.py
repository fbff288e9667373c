"""The labels that COCO and NUS-WIDE share are labels of both."""

from causal_mlr_jax.data import shared_labels
from causal_mlr_jax.data.builders.coco import LABELS
from causal_mlr_jax.data.builders.nus_wide import CONCEPTS


def test_labels_shared_with_coco():
  assert len(LABELS) == len(set(LABELS)) == 80
  exact, loose = shared_labels.shared(), shared_labels.shared(loose=True)
  assert len(exact) == 13
  assert loose[:13] == exact
  for pairs in (exact, loose):
    ours, theirs = zip(*pairs, strict=True)
    assert set(ours) <= set(LABELS)
    assert set(theirs) <= set(CONCEPTS)
    assert len(set(ours)) == len(set(theirs)) == len(pairs)
  # No name that is equal or in the plural was forgotten.
  same = {(a, b) for a in LABELS for b in CONCEPTS if b in (a, a + "s")}
  assert set(exact) == same | {("airplane", "plane")}
