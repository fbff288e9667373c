"""Classifiers that divide by norms, block by block of the channels.

Tang et al. 2020 (arXiv:2009.12991) divide by the norms of weights and
features; CCD and IDA build on it.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.label_linear import symmetric_uniform


def block_norm(x: Array) -> Array:
  """Returns Euclidean norms [..., 1] over the last axis.

  The gradient of a block of zeros is zero, where the root alone gives NaN.
  """
  square = jnp.square(x).sum(-1, keepdims=True)
  zero = square == 0
  return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def over_norm(weight: Array, beta: float) -> Array:
  """Returns weights over their norm plus `beta`, both of the last axis.

  Args:
    weight: [..., D].
    beta: keeps small weights small.
  """
  return weight / (block_norm(weight) + beta)


class NormalisedClassifier(nn.Module):
  """logit_n = tau/A Σ_a <x_a, w_na> / (|x_a| (|w_na| + beta)), no bias.

  The published programs divide by |x_a| as it is, and a block of zeros gives
  NaN; here it adds nothing to the logit.

  Attributes:
    num_labels: N.
    num_heads: A; C is split into A consecutive blocks.
    tau: scale of the logits.
    beta: added to the norm of the weights.
  """

  num_labels: int
  num_heads: int
  tau: float
  beta: float

  @nn.compact
  def __call__(self, x_BC: Array, map_BPC: Array) -> tuple[Array, Array]:
    """Returns logits [B, N], float32, and class activation maps [B, N, P].

    Args:
      x_BC: the features that are classified.
      map_BPC: a map; the linear part of the classifier is applied to each
        position, without the division by the norm of its features.
    """
    channels = x_BC.shape[-1]
    heads, labels = self.num_heads, self.num_labels
    init = symmetric_uniform(channels**-0.5)
    weight_NC = self.param("weight", init, (labels, channels))
    scaled = over_norm(weight_NC.reshape(labels, heads, -1), self.beta)
    scaled = scaled * (self.tau / heads)
    x = x_BC.astype(jnp.float32).reshape(-1, heads, channels // heads)
    norm = block_norm(x)
    x = x / jnp.where(norm == 0, 1.0, norm)
    logits_BN = jnp.einsum("BAE,NAE->BN", x, scaled)
    linear_NC = scaled.reshape(labels, channels).astype(map_BPC.dtype)
    cam_BNP = jnp.einsum("BPC,NC->BNP", map_BPC, linear_NC)
    return logits_BN, cam_BNP


def split_heads(map_BHWC: Array, num_heads: int) -> Array:
  """Returns a map as [B, P, A, C / A]: positions, consecutive blocks."""
  batch, height, width, channels = map_BHWC.shape
  shape = (batch, height * width, num_heads, channels // num_heads)
  return jax.lax.reshape(map_BHWC, shape)
