"""A graph over labels that is predicted for each image.

The dynamic half of the D-GCN of ADD-GCN (Ye et al. 2020, arXiv:2012.02994,
section 3.3); TDRG (Zhao et al. 2021) predicts it from a wider context.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.batch_norm import BatchNorm
from causal_mlr_jax.nn.heads.dense import UniformDense

SLOPE = 0.2  # of LeakyReLU for negative inputs


def leaky_relu(x: Array) -> Array:
  """Returns x where it is positive, and 0.2 x elsewhere."""
  # As jax.nn.leaky_relu, which jax2onnx converts for no slope but its own.
  return jnp.where(x >= 0, x, SLOPE * x)


class DynamicGraph(nn.Module):
  """One graph convolution whose adjacency is predicted from the image.

  g = LeakyReLU(BatchNorm(W_g · context)); A = sigmoid(W_a · [g ; node]), one
  column per node; nodes become LeakyReLU(W · LeakyReLU(A nodes)).

  Attributes:
    dtype: Dtype of the activations.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, nodes_BND: Array, context_BE: Array, *, train: bool
  ) -> tuple[Array, Array]:
    """Convolves the nodes over their graph.

    Args:
      nodes_BND: One node per label.
      context_BE: Feature of the whole image, of any width E.
      train: Whether to normalise by the statistics of the batch, taken over all
        devices.

    Returns:
      Nodes [B, N, D], and the adjacency [B, N, N], whose row n holds the
      weights of all nodes in the update of node n.
    """
    # In training, the batch normalisation cancels the bias.
    context = UniformDense(
      context_BE.shape[-1],
      learn_bias=not train,
      dtype=self.dtype,
      name="context",
    )(context_BE)
    context = BatchNorm(
      axis_name=parallel.AXIS, dtype=self.dtype, name="context_norm"
    )(context, train=train)
    context_BNE = jnp.broadcast_to(
      leaky_relu(context)[:, None],
      (*nodes_BND.shape[:2], context.shape[-1]),
    )
    joint = jnp.concatenate([context_BNE, nodes_BND], axis=-1)
    adjacency_BNN = jax.nn.sigmoid(
      UniformDense(nodes_BND.shape[1], dtype=self.dtype, name="adjacency")(
        joint
      )
    )
    mixed_BND = leaky_relu(jnp.einsum("BNM,BMD->BND", adjacency_BNN, nodes_BND))
    update = UniformDense(
      nodes_BND.shape[-1], dtype=self.dtype, name="transform"
    )
    return leaky_relu(update(mixed_BND)), adjacency_BNN
