"""Multi-head attention that returns its weights."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array


def attend(
  query_BQD: Array, key_BPD: Array, value_BPD: Array, num_heads: int
) -> tuple[Array, Array]:
  """Computes multi-head scaled dot-product attention, softmax in float32.

  Args:
    query_BQD: Projected queries; the batch axis may be 1 and is broadcast.
    key_BPD: Projected keys.
    value_BPD: Projected values.
    num_heads: Number of heads A; D is split into A consecutive blocks.

  Returns:
    The attended values [B, Q, D] and the weights [B, A, Q, P], float32.
  """

  def split(x: Array) -> Array:
    return x.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads)

  query, key, value = split(query_BQD), split(key_BPD), split(value_BPD)
  scale = query.shape[-1] ** -0.5
  if query.shape[0] == 1:
    logits = jnp.einsum("QAE,BPAE->BAQP", query[0] * scale, key)
  else:
    logits = jnp.einsum("BQAE,BPAE->BAQP", query * scale, key)
  weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
  out = jnp.einsum("BAQP,BPAE->BQAE", weights.astype(value.dtype), value)
  return out.reshape(*out.shape[:2], -1), weights


class Projection(nn.Module):
  """A linear map whose bias can be excluded from training.

  The keys' bias adds the same value to every logit of a row, and softmax
  ignores such a constant. Its gradient is therefore zero up to rounding, but
  Adam would still move it by the full learning rate in a random direction.
  """

  learn_bias: bool
  kernel_init: nn.initializers.Initializer
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x_BPD: Array) -> Array:
    """Returns x · kernel + bias, [B, P, D]."""
    width = x_BPD.shape[-1]
    kernel = self.param("kernel", self.kernel_init, (width, width))
    bias = self.param("bias", nn.initializers.zeros, (width,))
    bias = bias if self.learn_bias else jax.lax.stop_gradient(bias)
    y = x_BPD.astype(self.dtype) @ kernel.astype(self.dtype)
    return y + bias.astype(self.dtype)[None, None]


class MultiHeadAttention(nn.Module):
  """Attention with query, key, value and output projections, all biased.

  Initialised like PyTorch's: Xavier over the stacked input projections (fan-out
  3D), zero biases.

  Attributes:
    num_heads: Number of heads A; must divide the width D.
    dropout: Dropout rate of the attention weights in training.
    dtype: Dtype of the activations.
  """

  num_heads: int
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, query_BQD: Array, key_BPD: Array, value_BPD: Array, *, train: bool
  ) -> tuple[Array, Array]:
    """Returns the output [B, Q, D] and the head-averaged weights [B, Q, P].

    The returned weights are those before dropout.
    """
    stacked = nn.initializers.variance_scaling(0.5, "fan_avg", "uniform")

    def project(name: str, init: nn.initializers.Initializer) -> Projection:
      return Projection(name != "key", init, self.dtype, name=name)

    query = project("query", stacked)(query_BQD)
    key = project("key", stacked)(key_BPD)
    value = project("value", stacked)(value_BPD)
    if self.dropout > 0 and train:
      out, weights = self._attend_with_dropout(query, key, value)
    else:
      out, weights = attend(query, key, value, self.num_heads)
    out = project("out", nn.initializers.xavier_uniform())(out)
    return out, weights.mean(axis=1)

  def _attend_with_dropout(
    self, query: Array, key: Array, value: Array
  ) -> tuple[Array, Array]:
    _, weights = attend(query, key, value, self.num_heads)
    kept = nn.Dropout(self.dropout, deterministic=False)(weights)
    value = value.reshape(*value.shape[:2], self.num_heads, -1)
    out = jnp.einsum("BAQP,BPAE->BQAE", kept.astype(value.dtype), value)
    return out.reshape(*out.shape[:2], -1), weights
