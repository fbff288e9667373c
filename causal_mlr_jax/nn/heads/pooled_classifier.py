"""Global pooling and one linear layer, with its class activation maps.

The head of the plain classifier, and of the methods of Singh et al. 2020
(arXiv:2001.03152), which continue training one and have the same parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform
from causal_mlr_jax.nn.pooling import global_pool


class Classified(NamedTuple):
  """Output of the classifier for a feature map, all float32.

  Attributes:
    pooled_BC: The pooled map.
    logits_BN: Logits of the pooled map.
    cam_BNP: Class activation maps: the kernel applied at each position, without
      the bias (Zhou et al. 2016, arXiv:1512.04150, equation 2).
    kernel_CN: Kernel of the linear layer.
    bias_N: Bias of the linear layer.
  """

  pooled_BC: Array
  logits_BN: Array
  cam_BNP: Array
  kernel_CN: Array
  bias_N: Array

  def logits_of(self, feature_BC: Array) -> Array:
    """Returns the logits [B, N] of other feature vectors."""
    return feature_BC @ self.kernel_CN + self.bias_N[None]


class PooledClassifier(nn.Module):
  """Pools a map over its grid and classifies it.

  Attributes:
    num_labels: Number of labels N.
    pooling: 'gap' (average) or 'gmp' (maximum).
  """

  num_labels: int
  pooling: str = "gap"

  @nn.compact
  def __call__(self, map_BHWC: Array) -> Classified:
    """Classifies a feature map.

    Raises:
      UserError: The pooling is unknown.
    """
    pooled_BC = global_pool(map_BHWC, self.pooling)
    batch, height, width, channels = map_BHWC.shape
    init = symmetric_uniform(channels**-0.5)
    kernel_CN = self.param("kernel", init, (channels, self.num_labels))
    bias_N = self.param("bias", init, (self.num_labels,))
    logits_BN = pooled_BC @ kernel_CN + bias_N[None]
    # float32, because CAM-based training compares maps that differ by little.
    map_BPC = map_BHWC.reshape(batch, height * width, channels)
    cam_BNP = jnp.einsum("BPC,CN->BNP", map_BPC.astype(jnp.float32), kernel_CN)
    return Classified(pooled_BC, logits_BN, cam_BNP, kernel_CN, bias_N)


def first_stage(fields: dict[str, object]) -> tuple[str, dict[str, object]]:
  """Returns the method that Singh et al. train first, and its fields.

  Args:
    fields: Fields of the method that continues from it; not used.
  """
  del fields
  return "baseline", {"pooling": "gap"}
