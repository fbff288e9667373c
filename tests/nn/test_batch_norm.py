"""Batch normalisation: values by hand, synchronised, frozen, unmapped."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.nn.batch_norm import BatchNorm


def init(layer, x):
  """Variables that are not the trivial ones."""
  variables = layer.init(jax.random.key(0), x, train=True)
  leaves, structure = jax.tree.flatten(variables)
  values = np.random.default_rng(1).uniform(
    0.5, 2.0, (len(leaves), x.shape[-1])
  )
  return structure.unflatten(jnp.asarray(v, jnp.float32) for v in values)


def by_hand(variables, x, mean, var, epsilon=1e-5):
  """The definition in float64; statistics [C], x [..., C]."""
  params = jax.tree.map(
    lambda v: np.asarray(v, np.float64), variables["params"]
  )
  y = (x - np.asarray(mean)) / np.sqrt(np.asarray(var) + epsilon)
  return y * params["scale"] + params["bias"]


def batch_statistics(x):
  rows = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
  return rows.mean(0), rows.var(0), rows.var(0, ddof=1)


@pytest.fixture
def x(rng):
  # A mean far from zero: a one-pass variance would lose its digits.
  return (rng.normal(size=(8, 3, 5, 4)) + 300).astype(np.float32)


def test_training_uses_the_batch_and_moves_the_running_statistics(x):
  layer = BatchNorm(momentum=0.7, epsilon=1e-3)
  variables = init(layer, x)
  y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
  mean, var, unbiased = batch_statistics(x)
  np.testing.assert_allclose(
    y, by_hand(variables, x, mean, var, 1e-3), atol=2e-4
  )
  old, new = variables["batch_stats"], updates["batch_stats"]
  np.testing.assert_allclose(
    new["mean"], 0.7 * np.asarray(old["mean"]) + 0.3 * mean, rtol=1e-5
  )
  np.testing.assert_allclose(
    new["var"], 0.7 * np.asarray(old["var"]) + 0.3 * unbiased, rtol=1e-5
  )


def test_evaluation_uses_the_running_statistics(x):
  layer = BatchNorm()
  variables = init(layer, x)
  stats = variables["batch_stats"]
  y = layer.apply(variables, x, train=False)
  np.testing.assert_allclose(
    y, by_hand(variables, x, stats["mean"], stats["var"]), rtol=1e-4
  )


def test_initialisation_leaves_the_statistics_alone(x):
  stats = BatchNorm().init(jax.random.key(0), x, train=True)["batch_stats"]
  np.testing.assert_array_equal(stats["mean"], np.zeros(4))
  np.testing.assert_array_equal(stats["var"], np.ones(4))


def test_statistics_are_float32_under_bfloat16(x):
  layer = BatchNorm(dtype=jnp.bfloat16)
  variables = init(layer, x)
  half = jnp.asarray(x, jnp.bfloat16)
  y, updates = layer.apply(variables, half, train=True, mutable=["batch_stats"])
  mean, _, _ = batch_statistics(np.asarray(half, np.float32))
  assert y.dtype == jnp.bfloat16
  old, new = variables["batch_stats"]["mean"], updates["batch_stats"]["mean"]
  assert new.dtype == jnp.float32
  np.testing.assert_allclose(new, 0.9 * np.asarray(old) + 0.1 * mean, rtol=1e-5)


@partial(jax.jit, static_argnums=0)
def loss_and_stats(layer, variables, x, weight):
  """A loss that is a mean over examples, with its gradient."""

  def loss(params):
    y, updates = layer.apply(
      {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
    )
    return (jnp.sin(y) * weight).mean(), updates["batch_stats"]

  return jax.value_and_grad(loss, has_aux=True)(variables["params"])


def test_four_shards_equal_one_batch(x, rng):
  """Values, running statistics and gradients, under a named axis."""
  x = x - 300  # rounding there would hide an error in the gradients here
  weight = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
  variables = init(BatchNorm(), x)
  whole = loss_and_stats(BatchNorm(), variables, x, weight)
  synchronised = BatchNorm(axis_name=parallel.AXIS)

  def shard_step(x, weight):
    result = loss_and_stats(synchronised, variables, x, weight)
    return jax.lax.pmean(result, parallel.AXIS)

  def split(v):
    return v.reshape(4, 2, *v.shape[1:])

  def close(got, expected):
    expected = np.broadcast_to(expected, got.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)

  mapped = jax.jit(jax.vmap(shard_step, axis_name=parallel.AXIS))
  jax.tree.map(close, mapped(split(x), split(weight)), whole)


def test_an_axis_that_is_not_mapped_is_left_out(x):
  layer, plain = BatchNorm(axis_name=parallel.AXIS), BatchNorm()
  variables = init(layer, x)
  y, _ = layer.apply(variables, x, train=True, mutable=["batch_stats"])
  expected, _ = plain.apply(variables, x, train=True, mutable=["batch_stats"])
  np.testing.assert_array_equal(y, expected)


def test_works_inside_the_mapped_step(x):
  mesh = parallel.make_mesh()
  layer = BatchNorm(axis_name=parallel.AXIS)
  variables = init(layer, x)
  step = parallel.pmapped(
    lambda v, x: layer.apply(v, x, train=True, mutable=["batch_stats"])[0],
    mesh,
    (parallel.REPLICATED, parallel.SHARDED),
    parallel.SHARDED,
  )
  expected, _ = BatchNorm().apply(
    variables, x, train=True, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(step(variables, x), expected, atol=1e-4)


def test_frozen_uses_running_statistics_and_gives_no_gradient(x):
  layer = BatchNorm(frozen=True)
  variables = init(layer, x)
  (_, stats), grads = loss_and_stats(layer, variables, x, jnp.ones(x.shape))
  jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
  assert all(not np.any(g) for g in jax.tree.leaves(grads))
  np.testing.assert_array_equal(
    layer.apply(variables, x, train=True),
    BatchNorm().apply(variables, x, train=False),
  )
