from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.nn import attention, pooling
from causal_mlr_jax.nn.heads.label_decoder import LabelDecoder


def arrays(*shapes):
  keys = jax.random.split(jax.random.key(0), len(shapes))
  return [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]


def init(module, x, memory):
  return jax.jit(partial(module.init, train=False))(
    jax.random.key(1), x, memory, memory
  )


def test_equals_jax_own_attention():
  query, key, value = arrays((2, 3, 8), (2, 5, 8), (2, 5, 8))
  got, weights = attention.attend(query, key, value, 4)
  split = [x.reshape(*x.shape[:2], 4, 2) for x in (query, key, value)]
  want = jax.nn.dot_product_attention(*split).reshape(2, 3, 8)
  np.testing.assert_allclose(got, want, atol=1e-5)
  assert weights.shape == (2, 4, 3, 5)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


def test_one_query_for_all_images():
  query, key, value = arrays((1, 3, 8), (4, 5, 8), (4, 5, 8))
  got, _ = attention.attend(query, key, value, 2)
  repeated = jnp.broadcast_to(query, (4, 3, 8))
  want, _ = attention.attend(repeated, key, value, 2)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_what_all_keys_share_changes_nothing_and_has_no_gradient():
  x, memory = arrays((2, 3, 8), (2, 5, 8))
  module = attention.MultiHeadAttention(2)
  variables = init(module, x, memory)

  @jax.jit
  @partial(jax.grad, has_aux=True)
  def out(params):
    y, _ = module.apply({"params": params}, x, memory, memory, train=False)
    return (y**2).sum(), y

  params = variables["params"]
  grads, before = jax.device_get(out(params))
  assert (grads["key"]["bias"] == 0).all()
  assert (np.abs(grads["query"]["bias"]) > 0).any()
  moved = jax.tree.map(lambda p: p, params)
  moved["key"] = moved["key"] | {"bias": np.full(8, 3.0, np.float32)}
  np.testing.assert_allclose(out(moved)[1], before, atol=1e-5)


def test_dropout_acts_on_the_weights_in_training_only():
  x, memory = arrays((1, 3, 8), (1, 400, 8))
  module = attention.MultiHeadAttention(2, dropout=0.3)
  variables = init(module, x, memory)

  @partial(jax.jit, static_argnums=0)
  def out(train, seed=0):
    rngs = {"dropout": jax.random.key(seed)}
    return module.apply(variables, x, memory, memory, train=train, rngs=rngs)

  calm, weights = out(False)
  np.testing.assert_array_equal(out(False, 1)[0], calm)
  noisy = np.stack([out(True, seed)[0] for seed in range(50)])
  assert float(noisy.std(0).min()) > 0
  np.testing.assert_allclose(noisy.mean(0), calm, atol=0.1)
  np.testing.assert_allclose(out(True)[1], weights, atol=1e-6)


def test_pooling():
  (maps,) = arrays((2, 3, 4, 5))
  np.testing.assert_allclose(
    pooling.global_pool(maps, "gap"), nn.avg_pool(maps, (3, 4))[:, 0, 0], 1e-5
  )
  np.testing.assert_array_equal(
    pooling.global_pool(maps, "gmp"), nn.max_pool(maps, (3, 4))[:, 0, 0]
  )
  with pytest.raises(UserError, match="'gap'"):
    pooling.global_pool(maps, "gab")


def test_a_decoder_without_projection_names_the_width_it_needs():
  decoder = LabelDecoder(8, 2, 16, 0, 1, 0.0, input_projection=False)
  maps, query = arrays((1, 2, 2, 12), (3, 8))
  with pytest.raises(UserError, match=r"method\.embed_dim=12"):
    decoder.init(jax.random.key(0), maps, query, train=False)
