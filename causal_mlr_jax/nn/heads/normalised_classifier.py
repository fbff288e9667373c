"""Classifiers that divide by norms, block by block of the channels.

Tang et al. 2020 (arXiv:2009.12991) divide by the norms of weights and
features; CCD and IDA build on it.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform


def block_size(channels: int, num_heads: int) -> int:
  """Returns the width of each of A blocks of the channels.

  Raises:
    UserError: A does not divide C.
  """
  if channels % num_heads:
    raise UserError(
      f"method.num_heads = {num_heads} does not divide the {channels} channels "
      "of the final map; take a number that does."
    )
  return channels // num_heads


def block_norm(x: Array) -> Array:
  """Returns Euclidean norms [..., 1] over the last axis.

  The gradient of a block of zeros is zero, where the root alone gives NaN.
  """
  square = jnp.square(x).sum(-1, keepdims=True)
  zero = square == 0
  return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def over_norm(
  weight: Array, beta: float, measured: Array | None = None
) -> Array:
  """Returns weights over a norm of the last axis plus `beta`.

  Args:
    weight: [..., D].
    beta: keeps small weights small.
    measured: the weights whose norm is taken, of a shape that fits; None
      takes `weight`.
  """
  return weight / (block_norm(weight if measured is None else measured) + beta)


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

    Raises:
      UserError: A does not divide C.
    """
    channels = x_BC.shape[-1]
    heads, labels = self.num_heads, self.num_labels
    size = block_size(channels, heads)
    init = symmetric_uniform(channels**-0.5)
    weight_NC = self.param("weight", init, (labels, channels))
    scaled = over_norm(weight_NC.reshape(labels, heads, size), self.beta)
    scaled = scaled * (self.tau / heads)
    x = x_BC.astype(jnp.float32).reshape(-1, heads, size)
    norm = block_norm(x)
    x = x / jnp.where(norm == 0, 1.0, norm)
    logits_BN = jnp.einsum("BAE,NAE->BN", x, scaled)
    linear_NC = scaled.reshape(labels, channels).astype(map_BPC.dtype)
    cam_BNP = jnp.einsum("BPC,NC->BNP", map_BPC, linear_NC)
    return logits_BN, cam_BNP
