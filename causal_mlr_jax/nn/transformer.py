"""Post-norm transformer layers, as in DETR and Query2Label."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.attention import MultiHeadAttention

LAYER_NORM_EPS = 1e-5


class FeedForward(nn.Module):
  """x + linear2(activation(linear1(x))), then LayerNorm."""

  hidden: int
  dropout: float = 0.0
  activation: Callable[[Array], Array] = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x_BQD: Array, *, train: bool) -> Array:
    """Returns an array of the shape of `x_BQD`."""
    init = nn.initializers.xavier_uniform()
    drop = nn.Dropout(self.dropout, deterministic=not train)
    y = nn.Dense(
      self.hidden, kernel_init=init, dtype=self.dtype, name="linear1"
    )(x_BQD)
    y = drop(self.activation(y))
    y = nn.Dense(
      x_BQD.shape[-1], kernel_init=init, dtype=self.dtype, name="linear2"
    )(y)
    norm = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")
    return norm(x_BQD + drop(y))


class EncoderLayer(nn.Module):
  """Self-attention over positions, then feed-forward, both post-norm."""

  num_heads: int
  hidden: int
  dropout: float = 0.0
  activation: Callable[[Array], Array] = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x_BPD: Array, position_PD: Array | None, *, train: bool
  ) -> tuple[Array, Array]:
    """Returns the layer's output [B, P, D] and its attention [B, P, P].

    Args:
      x_BPD: The tokens.
      position_PD: Position encodings added to queries and keys, or None.
      train: Whether dropout is on.
    """
    placed = x_BPD if position_PD is None else x_BPD + position_PD[None]
    y, weights = MultiHeadAttention(
      self.num_heads, self.dropout, self.dtype, name="self_attention"
    )(placed, placed, x_BPD, train=train)
    y = nn.Dropout(self.dropout, deterministic=not train)(y)
    norm = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm1")
    x = norm(x_BPD + y)
    x = FeedForward(
      self.hidden,
      self.dropout,
      self.activation,
      self.dtype,
      name="feed_forward",
    )(x, train=train)
    return x, weights


class DecoderLayer(nn.Module):
  """Cross-attention from queries to positions, then feed-forward, post-norm.

  There is no self-attention among queries: Query2Label removes it.
  """

  num_heads: int
  hidden: int
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x_BQD: Array,
    query_QD: Array,
    memory_BPD: Array,
    position_PD: Array,
    *,
    train: bool,
  ) -> tuple[Array, Array]:
    """Returns the layer's output [B, Q, D] and its attention [B, Q, P]."""
    y, weights = MultiHeadAttention(
      self.num_heads, self.dropout, self.dtype, name="cross_attention"
    )(
      x_BQD + query_QD[None],
      memory_BPD + position_PD[None],
      memory_BPD,
      train=train,
    )
    y = nn.Dropout(self.dropout, deterministic=not train)(y)
    norm = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm1")
    x = norm(x_BQD + y)
    x = FeedForward(
      self.hidden, self.dropout, dtype=self.dtype, name="feed_forward"
    )(x, train=train)
    return x, weights
