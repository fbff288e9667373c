"""Label-specific features: learned label queries decode a feature map."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn import position
from causal_mlr_jax.nn.tokens import map_tokens
from causal_mlr_jax.nn.transformer import (
  LAYER_NORM_EPS,
  DecoderLayer,
  EncoderLayer,
)


class LabelDecoder(nn.Module):
  """Transformer from a feature map to one feature vector a label.

  Query2Label (Liu et al. 2021), section 3: encoder layers over positions,
  then decoder layers in which label queries attend to positions; post-norm,
  sine positions, no self-attention among labels.

  Attributes:
    embed_dim: D, a multiple of 4 and of `num_heads`.
    num_heads: A.
    hidden: feed-forward width F.
    num_encoder_layers: 0 leaves the map as it is.
    num_decoder_layers: at least 1.
    dropout: rate in training.
    input_projection: whether a linear map brings C to D; without it C must
      be D.
    dtype: of the activations.
  """

  embed_dim: int
  num_heads: int
  hidden: int
  num_encoder_layers: int
  num_decoder_layers: int
  dropout: float
  input_projection: bool
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, map_BHWC: Array, query_ND: Array, *, train: bool
  ) -> tuple[Array, dict[str, Array]]:
    """Decodes a feature map.

    Args:
      map_BHWC: the backbone's feature map.
      query_ND: label queries.
      train: whether dropout is on.

    Returns:
      Label features [B, N, D], and by name `memory` [B, P, D] and the
      attention of each layer, [B, P, P] or [B, N, P].

    Raises:
      UserError: C differs from D and there is no input projection.
    """
    memory = map_tokens(
      map_BHWC, self.embed_dim, self.input_projection, self.dtype
    )
    _, height, width, _ = map_BHWC.shape
    place = position.sine_2d(height, width, self.embed_dim)
    place = jnp.asarray(place, self.dtype)
    query = query_ND.astype(self.dtype)
    aux = {}
    for i in range(self.num_encoder_layers):
      memory, aux[f"encoder_{i}"] = EncoderLayer(
        self.num_heads,
        self.hidden,
        self.dropout,
        dtype=self.dtype,
        name=f"encoder_{i}",
      )(memory, place, train=train)
    x = jnp.zeros((len(memory), *query.shape), self.dtype)
    for i in range(self.num_decoder_layers):
      x, aux[f"decoder_{i}"] = DecoderLayer(
        self.num_heads,
        self.hidden,
        self.dropout,
        self.dtype,
        name=f"decoder_{i}",
      )(x, query, memory, place, train=train)
    norm = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")
    return norm(x), aux | {"memory": memory}
