import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from causal_mlr_jax.losses import binary_cross_entropy


def test_equals_scikit_learn(rng):
  logits = rng.normal(size=(4, 6)).astype(np.float32)
  labels = (rng.random((4, 6)) < 0.3).astype(np.float32)
  got = binary_cross_entropy.loss(jnp.asarray(logits), jnp.asarray(labels))
  assert got.shape == (4, 6)
  for row, logit, label in zip(got, logits, labels, strict=True):
    probability = 1 / (1 + np.exp(-logit.astype(np.float64)))
    want = log_loss(label, probability, labels=[0, 1])
    assert float(row.mean()) == pytest.approx(want, rel=1e-5)


def test_is_finite_and_linear_for_large_logits():
  logits = jnp.asarray([[1000.0, -1000.0]])
  wrong = binary_cross_entropy.loss(logits, jnp.asarray([[0.0, 1.0]]))
  right = binary_cross_entropy.loss(logits, jnp.asarray([[1.0, 0.0]]))
  np.testing.assert_allclose(wrong, [[1000, 1000]])
  np.testing.assert_allclose(right, [[0, 0]], atol=1e-6)
