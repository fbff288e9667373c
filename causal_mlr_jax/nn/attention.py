"""Multi-head attention that returns its weights."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array


def attend(
  query_BQD: Array, key_BPD: Array, value_BPD: Array, num_heads: int
) -> tuple[Array, Array]:
  """Scaled dot-product attention over heads, softmax in float32.

  Args:
    query_BQD: projected queries; the batch axis may be 1 and is broadcast.
    key_BPD: projected keys.
    value_BPD: projected values.
    num_heads: A; D is split into A consecutive blocks.

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


class MultiHeadAttention(nn.Module):
  """Attention with query, key, value and output projections, all biased.

  Initialised as torch's: Xavier over the stacked input projections (fan-out
  3D), zero biases.

  Attributes:
    num_heads: A, must divide the width D.
    dropout: rate on the attention weights, in training.
    dtype: of the activations.
  """

  num_heads: int
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, query_BQD: Array, key_BPD: Array, value_BPD: Array, *, train: bool
  ) -> tuple[Array, Array]:
    """Returns the output [B, Q, D] and weights averaged over heads [B, Q, P].

    The returned weights are those before dropout.
    """
    width = query_BQD.shape[-1]
    stacked = nn.initializers.variance_scaling(0.5, "fan_avg", "uniform")

    def dense(name: str, init: nn.initializers.Initializer) -> nn.Dense:
      return nn.Dense(width, kernel_init=init, dtype=self.dtype, name=name)

    query = dense("query", stacked)(query_BQD)
    key = dense("key", stacked)(key_BPD)
    value = dense("value", stacked)(value_BPD)
    if self.dropout > 0 and train:
      out, weights = self._attend_with_dropout(query, key, value)
    else:
      out, weights = attend(query, key, value, self.num_heads)
    out = dense("out", nn.initializers.xavier_uniform())(out)
    return out, weights.mean(axis=1)

  def _attend_with_dropout(
    self, query: Array, key: Array, value: Array
  ) -> tuple[Array, Array]:
    _, weights = attend(query, key, value, self.num_heads)
    kept = nn.Dropout(self.dropout, deterministic=False)(weights)
    value = value.reshape(*value.shape[:2], self.num_heads, -1)
    out = jnp.einsum("BAQP,BPAE->BQAE", kept.astype(value.dtype), value)
    return out.reshape(*out.shape[:2], -1), weights
