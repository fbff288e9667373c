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
  """Transformer from a feature map to one feature vector per label.

  Query2Label (Liu et al. 2021), section 3: encoder layers over positions,
  then decoder layers in which label queries attend to positions; post-norm,
  sine positions, no self-attention among labels.

  Attributes:
    embed_dim: Feature width D, a multiple of 4 and of `num_heads`.
    num_heads: Number of attention heads A.
    hidden: Feed-forward width F.
    num_encoder_layers: Number of encoder layers; 0 leaves the map unchanged.
    num_decoder_layers: Number of decoder layers, at least 1.
    dropout: Dropout rate in training.
    input_projection: Whether a linear map brings C to D; without it, C must
      equal D.
    dtype: Dtype of the activations.
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
      map_BHWC: The backbone's feature map.
      query_ND: Label queries.
      train: Whether dropout is on.

    Returns:
      Label features [B, N, D], and a dict with the encoded map `memory`
      [B, P, D] and the attention of each layer, [B, P, P] or [B, N, P].

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
    x = jnp.zeros((memory.shape[0], *query.shape), self.dtype)
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
