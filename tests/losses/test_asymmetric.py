"""The asymmetric loss against its formula, and at its limits."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from causal_mlr_jax.losses import asymmetric, binary_cross_entropy

# Other programs may be running: time is no failure.
SHAPE = (3, 4)
logits_of = hnp.arrays(np.float32, SHAPE, elements=st.floats(-9, 9, width=32))
labels_of = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]))
gammas = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0])


def formula(logits, labels, positive, negative, clip, eps, above):
  """The published loss of each entry, float64."""
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  q = np.minimum(1 - p + clip, 1)
  high = 1 - eps if above else np.inf
  log_p, log_q = (np.log(np.clip(x, eps, high)) for x in (p, q))
  loss = labels * (1 - p) ** positive * log_p
  return -loss - (1 - labels) * (1 - q) ** negative * log_q


@given(
  logits_of,
  labels_of,
  gammas,
  gammas,
  st.sampled_from([0.0, 0.05, 0.2]),
  st.sampled_from([1e-8, 1e-5, 1e-3]),
  st.booleans(),
)
def test_follows_the_formula(
  logits, labels, positive, negative, clip, eps, above
):
  got = asymmetric.loss(
    jnp.asarray(logits),
    jnp.asarray(labels),
    gamma_positive=positive,
    gamma_negative=negative,
    clip=clip,
    eps=eps,
    clamp_above=above,
  )
  want = formula(logits, labels, positive, negative, clip, eps, above)
  # Where p is next to the shift, float32 keeps few digits of what is left.
  limit = 2e-3 if negative == 0.5 and clip else 1e-5
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=limit)


@given(logits_of, labels_of, st.booleans())
def test_without_focusing_it_is_the_cross_entropy(logits, labels, focusing):
  got = asymmetric.loss(
    jnp.asarray(logits),
    jnp.asarray(labels),
    gamma_positive=0.0,
    gamma_negative=0.0,
    focusing_gradient=focusing,
  )
  want = binary_cross_entropy.loss(jnp.asarray(logits), jnp.asarray(labels))
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@given(logits_of, labels_of, gammas, gammas)
def test_focusing_never_adds_to_the_loss(logits, labels, positive, negative):
  fields = {"gamma_positive": positive, "gamma_negative": negative}
  loss = asymmetric.loss(logits, labels, **fields)
  plain = binary_cross_entropy.loss(jnp.asarray(logits), jnp.asarray(labels))
  assert (loss >= 0).all()
  assert (loss <= plain * (1 + 1e-5) + 1e-6).all()


@pytest.mark.parametrize("focusing", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5, 4.0])
def test_large_logits_have_a_finite_loss_and_gradient(gamma, clip, focusing):
  sides = np.asarray([-1e3, -100, -30, 0, 30, 100, 1e3], np.float32)
  logits = jnp.asarray(np.stack([sides, sides]))
  labels = jnp.asarray(np.stack([0 * sides, 0 * sides + 1]))

  def total(logits, eps):
    value = asymmetric.loss(
      logits,
      labels,
      gamma_positive=gamma,
      gamma_negative=gamma,
      clip=clip,
      focusing_gradient=focusing,
      eps=eps,
    )
    return value.sum(), value

  for eps in (0.0, 1e-5):
    grads, value = jax.grad(total, has_aux=True)(logits, eps)
    assert jnp.isfinite(value).all()
    assert jnp.isfinite(grads).all()


def test_the_worst_mistakes_are_learned_from_unless_clamped():
  logits, labels = jnp.asarray([[-50.0, 50.0]]), jnp.asarray([[1.0, 0.0]])

  def gradient(**fields):
    return jax.grad(
      lambda x: asymmetric.loss(x, labels, gamma_negative=0.0, **fields).sum()
    )(logits)

  np.testing.assert_allclose(gradient(), [[-1, 1]], rtol=1e-6)
  np.testing.assert_array_equal(gradient(eps=1e-5), 0)


def test_negatives_below_the_shift_cost_nothing():
  logits = jnp.asarray([[-5.0, -3.0]])  # probabilities 0.007, 0.047
  loss = lambda x: asymmetric.loss(x, 0 * x, clip=0.05).sum()  # noqa: E731
  value, grad = jax.value_and_grad(loss)(logits)
  assert value == 0
  np.testing.assert_array_equal(grad, 0)


def test_focusing_weights_carry_a_gradient_only_when_asked():
  logits, labels = jnp.asarray([[0.5]]), jnp.asarray([[0.0]])

  def gradient(focusing):
    return jax.grad(
      lambda x: asymmetric.loss(x, labels, focusing_gradient=focusing)[0, 0]
    )(logits)[0, 0]

  p = jax.nn.sigmoid(0.5)
  weight = p**2  # gamma 2
  assert gradient(False) == pytest.approx(float(weight * p), rel=1e-5)
  extra = 2 * p * p * (1 - p) * -jnp.log(1 - p)
  assert gradient(True) == pytest.approx(float(weight * p + extra), rel=1e-5)
