"""Global pooling of feature maps."""

from __future__ import annotations

import jax.numpy as jnp

from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Array


def global_pool(map_BHWC: Array, pooling: str) -> Array:
  """Pools a map over its grid to [B, C], float32.

  Args:
    map_BHWC: A feature map.
    pooling: 'gap', the global average, or 'gmp', the global maximum.

  Raises:
    UserError: The pooling is unknown.
  """
  map_BHWC = map_BHWC.astype(jnp.float32)
  if pooling == "gap":
    return map_BHWC.mean(axis=(1, 2))
  if pooling == "gmp":
    batch, height, width, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch, height * width, channels)
    # Where several values are the maximum, only the first gets the gradient, as
    # in the published code; `max` would share it. After ReLU, ties are common.
    first_B1C = map_BPC.argmax(axis=1, keepdims=True)
    return jnp.take_along_axis(map_BPC, first_B1C, axis=1)[:, 0]
  raise unknown_name("pooling", pooling, ("gap", "gmp"))
