"""The plain multi-label classifier: global pooling and one linear layer.

The rows "Baseline" of the paper's tables; Singh et al. 2020 call it
"standard".
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Features, Output, Side
from causal_mlr_jax.nn import single_logits
from causal_mlr_jax.nn.label_linear import symmetric_uniform
from causal_mlr_jax.nn.pooling import global_pool

NEEDS: tuple[str, ...] = ()
loss, scores = single_logits.loss, single_logits.scores


class Head(nn.Module):
  """Pools the final map and classifies it.

  Attributes:
    num_labels: N.
    pooling: 'gap' or 'gmp'.
    dtype: of the activations.
  """

  num_labels: int
  pooling: str = "gap"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N] and, in `aux`, class activation maps [B, N, P]."""
    del side, train
    map_BHWC = features.maps["final"]
    pooled_BC = global_pool(map_BHWC, self.pooling)
    channels = pooled_BC.shape[-1]
    init = symmetric_uniform(channels**-0.5)
    kernel_CN = self.param("kernel", init, (channels, self.num_labels))
    bias_N = self.param("bias", init, (self.num_labels,))
    logits_BN = pooled_BC @ kernel_CN + bias_N[None]
    batch, height, width, _ = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch, height * width, channels)
    cam_BNP = jnp.einsum(
      "BPC,CN->BNP", map_BPC, kernel_CN.astype(map_BPC.dtype)
    )
    return Output(logits_BN, {"attention": cam_BNP})
