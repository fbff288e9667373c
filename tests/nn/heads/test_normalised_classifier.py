"""The normalised classifier, and blocks of zeros in it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.nn.heads.normalised_classifier import (
  NormalisedClassifier,
  block_norm,
  over_norm,
)

TAU, BETA, HEADS = 32.0, 1 / 32, 3


def formula(x_BC, weight_NC):
  """The logits in float64, a block of zeros adding nothing."""
  total = np.zeros((len(x_BC), len(weight_NC)))
  blocks = np.split(x_BC, HEADS, 1), np.split(weight_NC, HEADS, 1)
  for x, w in zip(*blocks, strict=True):
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
    total += x @ (w / (np.linalg.norm(w, axis=1, keepdims=True) + BETA)).T
  return TAU / HEADS * total


def make(rng):
  x = rng.normal(size=(4, 12)).astype(np.float32)
  maps = rng.normal(size=(4, 5, 12)).astype(np.float32)
  module = NormalisedClassifier(6, HEADS, TAU, BETA)
  return module, jax.jit(module.init)(jax.random.key(0), x, maps), x, maps


def test_agrees_with_the_formula_with_and_without_blocks_of_zeros(rng):
  module, variables, x, maps = make(rng)
  weight = np.asarray(variables["params"]["weight"], np.float64)
  for zeros in ((), (slice(0, 4),), (slice(0, 4), slice(8, 12))):
    for block in zeros:
      x[1, block] = 0
    logits, _ = module.apply(variables, x, maps)
    want = formula(x.astype(np.float64), weight)
    np.testing.assert_allclose(logits, want, atol=1e-4)


def test_zeros_have_finite_gradients(rng):
  module, variables, x, maps = make(rng)
  x[1, :4] = 0
  x[2] = 0

  @jax.jit
  @partial(jax.grad, argnums=(0, 1))
  def gradients(variables, x):
    logits, cam = module.apply(variables, x, maps)
    return jnp.sin(logits).sum() + cam.sum()

  for given in (variables, jax.tree.map(np.zeros_like, variables)):
    grads = jax.tree.leaves(gradients(given, x))
    assert all(np.isfinite(leaf).all() for leaf in grads)


def test_scale_of_the_features_does_not_matter(rng):
  module, variables, x, maps = make(rng)
  once, _ = module.apply(variables, x, maps)
  np.testing.assert_allclose(
    module.apply(variables, 7 * x, maps)[0], once, 1e-4
  )


def test_maps_are_the_linear_part(rng):
  module, variables, x, _ = make(rng)
  # A position whose blocks have norm 1 gets its own logits.
  blocks = x.reshape(4, HEADS, 4)
  unit = (blocks / np.linalg.norm(blocks, axis=2, keepdims=True)).reshape(4, 12)
  logits, cam = module.apply(variables, unit, unit[:, None])
  np.testing.assert_allclose(cam[:, :, 0], logits, atol=1e-5)


def test_norms(rng):
  x = jnp.asarray(rng.normal(size=(2, 3, 4)).astype(np.float32))
  np.testing.assert_allclose(
    block_norm(x)[..., 0], jnp.linalg.norm(x, axis=-1), 1e-6
  )
  np.testing.assert_array_equal(
    jax.grad(lambda x: block_norm(x)[0])(x[0, 0] * 0), 0
  )
  np.testing.assert_allclose(over_norm(x, 0.0, x), over_norm(x, 0.0))
  np.testing.assert_allclose(block_norm(over_norm(x, 0.0)), 1, 1e-6)


def test_heads_that_do_not_divide_the_channels_are_named(rng):
  module = NormalisedClassifier(6, 5, TAU, BETA)
  with pytest.raises(UserError, match=r"num_heads = 5.*12 channels"):
    module.init(jax.random.key(0), np.ones((1, 12)), np.ones((1, 2, 12)))
