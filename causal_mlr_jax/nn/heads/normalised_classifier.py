"""Classifiers that divide each block of channels by its norm.

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
  """Returns the width C / A of each of A blocks of channels.

  Raises:
    UserError: A does not divide C.
  """
  if channels % num_heads:
    raise UserError(
      f"method.num_heads = {num_heads} does not divide the {channels} channels "
      "of the final map; choose a number that does."
    )
  return channels // num_heads


def block_norm(x: Array) -> Array:
  """Returns Euclidean norms [..., 1] over the last axis.

  The gradient of a block of zeros is zero; a plain square root would give NaN.
  """
  square = jnp.square(x).sum(-1, keepdims=True)
  zero = square == 0
  return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def over_norm(
  weight: Array, beta: float, measured: Array | None = None
) -> Array:
  """Returns weights divided by (the norm of the last axis + `beta`).

  Args:
    weight: Weights [..., D].
    beta: Constant added to the norm; it keeps small weights small.
    measured: Weights whose norm is used, of a shape that broadcasts to
      `weight`; None uses `weight` itself.
  """
  return weight / (block_norm(weight if measured is None else measured) + beta)


class NormalisedClassifier(nn.Module):
  """logit_n = tau/A Σ_a <x_a, w_na> / (|x_a| (|w_na| + beta)), no bias.

  In the published code a block x_a of zeros gives NaN; here it adds nothing to
  the logit.

  Attributes:
    num_labels: Number of labels N.
    num_heads: Number of consecutive blocks A that the channels are split into.
    tau: Scale of the logits.
    beta: Constant added to the norm of the weights.
  """

  num_labels: int
  num_heads: int
  tau: float
  beta: float

  @nn.compact
  def __call__(self, x_BC: Array, map_BPC: Array) -> tuple[Array, Array]:
    """Returns logits [B, N], float32, and class activation maps [B, N, P].

    Args:
      x_BC: The features to classify.
      map_BPC: A feature map; the classifier is applied to each position
        without dividing by the norm of the features.

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
