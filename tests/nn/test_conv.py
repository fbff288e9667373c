"""Convolutions against `lax.conv` and pooling against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from causal_mlr_jax.nn import conv

PRECISION = {"rtol": 1e-4, "atol": 1e-4}


def reference(x, kernel, stride, padding, groups=1):
  pads = "SAME" if padding == "SAME" else [(padding, padding)] * 2
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    pads,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=groups,
  )


def assert_same(ours, theirs, x, kernel):
  """Compares the values and the gradients of a loss without symmetry."""

  def run(f):
    def loss(x, kernel):
      y = f(x, kernel)
      return jnp.sin(y).sum(), y

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, **PRECISION),
    run(ours),
    run(theirs),
  )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
  ("size", "padding", "expected"),
  [(1, None, 0), (3, None, 1), (7, None, 3), (3, "SAME", "SAME"), (1, 1, 1)],
)
def test_conv(rng, size, padding, expected, stride):
  x = jnp.asarray(rng.normal(size=(2, 9, 8, 3)), jnp.float32)
  layer = conv.Conv(5, size, stride, padding)
  variables = layer.init(jax.random.key(0), x)
  kernel = variables["params"]["kernel"]
  assert kernel.shape == (size, size, 3, 5)

  def ours(x, kernel):
    return layer.apply({"params": {"kernel": kernel}}, x)

  def theirs(x, kernel):
    return reference(x, kernel, stride, expected)

  assert_same(ours, theirs, x, kernel)


def test_conv_bias_and_type(rng):
  x = jnp.asarray(rng.normal(size=(1, 4, 4, 3)), jnp.float32)
  layer = conv.Conv(5, 1, use_bias=True, dtype=jnp.bfloat16)
  variables = layer.init(jax.random.key(0), x)
  assert variables["params"]["bias"].dtype == jnp.float32
  moved = jax.tree.map(lambda v: v, variables)
  moved["params"]["bias"] += 1
  y, z = layer.apply(variables, x), layer.apply(moved, x)
  assert y.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    (z - y).astype(jnp.float32), np.ones(y.shape), atol=0.05
  )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
  ("size", "padding"), [(3, "SAME"), (5, "SAME"), (3, 1), (5, 0)]
)
def test_depthwise(rng, size, padding, stride):
  x = jnp.asarray(rng.normal(size=(2, 9, 8, 6)), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(size, size, 1, 6)), jnp.float32)
  layer = conv.DepthwiseConv(size, stride, padding)

  def ours(x, kernel):
    return layer.apply({"params": {"kernel": kernel}}, x)

  def theirs(x, kernel):
    return reference(x, kernel, stride, padding, groups=6)

  assert_same(ours, theirs, x, kernel)


def test_depthwise_has_both_forms():
  """The grouped convolution off the CPU, no convolution on it."""
  pads = ((1, 1), (1, 1))
  x, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 1, 2))
  run = jax.jit(lambda x, k: conv.depthwise(x, k, 1, pads))
  traced = run.trace(x, kernel)
  cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
  gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
  assert "stablehlo.convolution" not in cpu
  assert "feature_group_count = 2" in gpu


def test_max_pool_pads_with_minus_infinity(rng):
  x = -rng.uniform(1, 2, size=(1, 5, 6, 2)).astype(np.float32)
  y = conv.max_pool(jnp.asarray(x), 3, 2, 1)
  assert y.shape == (1, 3, 3, 2)
  for i in range(3):
    for j in range(3):
      window = x[
        0, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2
      ]
      np.testing.assert_array_equal(y[0, i, j], window.max((0, 1)))


def test_kernels_start_with_kaiming_fan_out():
  layer = conv.Conv(256, 3)
  variables = layer.init(jax.random.key(0), jnp.zeros((1, 8, 8, 64)))
  std = float(variables["params"]["kernel"].std())
  np.testing.assert_allclose(std, np.sqrt(2 / (9 * 256)), rtol=0.02)
