"""The focal loss against its formula."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from causal_mlr_jax.losses import binary_cross_entropy, focal

# Other programs may be running: time is no failure.
SHAPE = (3, 4)
logits_of = hnp.arrays(np.float32, SHAPE, elements=st.floats(-9, 9, width=32))
labels_of = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]))


@given(
  logits_of,
  labels_of,
  st.sampled_from([None, 0.25, 0.9]),
  st.sampled_from([0.0, 1.0, 2.0, 3.5]),
)
def test_follows_the_formula(logits, labels, alpha, gamma):
  got = focal.loss(
    jnp.asarray(logits), jnp.asarray(labels), alpha=alpha, gamma=gamma
  )
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  right = np.where(labels == 1, p, 1 - p)
  weight = 1 if alpha is None else np.where(labels == 1, alpha, 1 - alpha)
  want = -weight * (1 - right) ** gamma * np.log(right)
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


@given(logits_of, labels_of)
def test_without_weights_it_is_the_cross_entropy(logits, labels):
  got = focal.loss(
    jnp.asarray(logits), jnp.asarray(labels), alpha=None, gamma=0.0
  )
  want = binary_cross_entropy.loss(jnp.asarray(logits), jnp.asarray(labels))
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_large_logits_have_a_finite_loss_and_gradient():
  sides = np.asarray([-1e3, -100, 0, 100, 1e3], np.float32)
  logits = jnp.asarray(np.stack([sides, sides]))
  labels = jnp.asarray(np.stack([0 * sides, 0 * sides + 1]))
  value, grad = jax.value_and_grad(lambda x: focal.loss(x, labels).sum())(
    logits
  )
  assert jnp.isfinite(value)
  assert jnp.isfinite(grad).all()
