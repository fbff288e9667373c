"""One linear classifier per label."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from causal_mlr_jax.core.types import Array


def symmetric_uniform(scale: float) -> nn.initializers.Initializer:
  """Returns an initialiser that draws from U(-scale, scale)."""

  def init(
    key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
  ) -> Array:
    return jax.random.uniform(key, shape, dtype, -scale, scale)

  return init


class LabelLinear(nn.Module):
  """logit_n = w_n · x_n + b_n: each label has its own weight vector.

  Query2Label calls it GroupWiseLinear.
  """

  num_labels: int

  @nn.compact
  def __call__(self, x_BND: Array) -> Array:
    """Returns logits [B, N], float32."""
    dim = x_BND.shape[-1]
    init = symmetric_uniform(dim**-0.5)
    weight_ND = self.param("weight", init, (self.num_labels, dim))
    bias_N = self.param("bias", init, (self.num_labels,))
    x_BND = x_BND.astype(jnp.float32)
    return jnp.einsum("BND,ND->BN", x_BND, weight_ND) + bias_N[None]
