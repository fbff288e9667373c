"""One vector per label, gathered from the positions where the label is seen.

The semantic attention module (SAM) of ADD-GCN (Ye et al. 2020,
arXiv:2012.02994, section 3.2), which TDRG (Zhao et al. 2021) reuses.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.heads.dense import UniformDense


class SemanticNodes(nn.Module):
  """mask = sigmoid(classifier(x)); node_n = sum over p of mask_pn f(x_p).

  The sum is not divided by the sum of the mask.

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Width D of the nodes.
    dtype: Dtype of the nodes.
  """

  num_labels: int
  embed_dim: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x_BPC: Array) -> tuple[Array, Array, Array]:
    """Returns class activation maps, masks and nodes.

    Args:
      x_BPC: Positions of a feature map.

    Returns:
      Class activation maps [B, N, P] (logits, float32), masks [B, N, P] (their
      sigmoids, in `dtype`) and nodes [B, N, D].
    """
    classify = UniformDense(
      self.num_labels,
      use_bias=False,
      dtype=self.dtype,
      out_dtype=jnp.float32,
      name="classifier",
    )
    cam_BNP = classify(x_BPC).swapaxes(1, 2)
    mask_BNP = jax.nn.sigmoid(cam_BNP).astype(self.dtype)
    transform = UniformDense(self.embed_dim, dtype=self.dtype, name="transform")
    return cam_BNP, mask_BNP, gather(transform(x_BPC), mask_BNP)


def gather(x_BPD: Array, mask_BNP: Array) -> Array:
  """Returns the sum of the positions weighted by each mask, [B, N, D]."""
  return jnp.einsum("BNP,BPD->BND", mask_BNP, x_BPD)


def top_mean(cam_BNP: Array, count: int) -> Array:
  """Returns the mean of the `count` largest values of each map, [B, N]."""
  return jax.lax.top_k(cam_BNP, count)[0].mean(axis=-1)
