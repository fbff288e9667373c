"""A feature map as a sequence of tokens."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Array


def map_tokens(
  map_BHWC: Array, embed_dim: int, input_projection: bool, dtype: jnp.dtype
) -> Array:
  """Returns the positions of a feature map, row by row, as tokens [B, P, D].

  Must be called inside a module, which then owns the layer `project`.

  Args:
    map_BHWC: The backbone's feature map.
    embed_dim: Width D of the tokens.
    input_projection: Whether a linear map brings C to D.
    dtype: Dtype of the tokens.

  Raises:
    UserError: C differs from D and there is no input projection.
  """
  batch, height, width, channels = map_BHWC.shape
  x_BPC = map_BHWC.reshape(batch, height * width, channels)
  if input_projection:
    return nn.Dense(embed_dim, dtype=dtype, name="project")(x_BPC)
  if channels != embed_dim:
    raise UserError(
      f"method.embed_dim = {embed_dim} differs from the feature map's "
      f"{channels} channels; set method.input_projection=True, or "
      f"method.embed_dim={channels}."
    )
  return x_BPC.astype(dtype)
