"""ADD-GCN (Ye et al. 2020, arXiv:2012.02994).

Semantic attention gathers one vector per label. A static graph, shared by all
images, and a dynamic graph, predicted for each image, convolve these vectors.
The score is the mean of two classifiers: the maximum of each class activation
map, and a classifier after the graphs.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import (
  ACTIVATION,
  Array,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dense import UniformDense
from causal_mlr_jax.nn.heads.dynamic_graph import DynamicGraph, leaky_relu
from causal_mlr_jax.nn.heads.label_linear import LabelLinear
from causal_mlr_jax.nn.heads.semantic_nodes import SemanticNodes, top_mean

NEEDS: tuple[str, ...] = ()
MAPS = Maps(
  ACTIVATION,
  "the logit at the position of the classifier whose maximum is half of "
  "the score (semantic attention)",
)
PARTS = ("semantic", "graph")
loss, scores = loss_and_scores.loss, loss_and_scores.scores


class Head(nn.Module):
  """Semantic attention, static graph, dynamic graph, and two classifiers.

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Width D of the nodes.
    dtype: Dtype of the activations.
  """

  num_labels: int
  embed_dim: int = 1024
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N].

    `aux` holds the class activation maps `attention` [B, N, P], the logits of
    both classifiers, the nodes [B, N, D] before and after the graphs
    (`label_features`), and the dynamic adjacency [B, N, N].
    """
    del side
    map_BHWC = features.maps["final"]
    x_BPC = map_BHWC.reshape(map_BHWC.shape[0], -1, map_BHWC.shape[-1])
    cam_BNP, _, nodes_BND = SemanticNodes(
      self.num_labels, self.embed_dim, self.dtype, name="nodes"
    )(x_BPC)
    static_BND = nodes_BND + self._static(nodes_BND)
    context_BD = static_BND.mean(axis=1)
    dynamic_BND, adjacency_BNN = DynamicGraph(self.dtype, name="graph")(
      static_BND, context_BD, train=train
    )
    label_features_BND = nodes_BND + dynamic_BND
    semantic_BN = top_mean(cam_BNP, 1)
    graph_BN = LabelLinear(self.num_labels, name="classifier")(
      label_features_BND
    )
    return Output(
      (semantic_BN + graph_BN) / 2,
      {
        "attention": cam_BNP,
        "logits_semantic": semantic_BN,
        "logits_graph": graph_BN,
        "nodes": nodes_BND,
        "label_features": label_features_BND,
        "adjacency": adjacency_BNN,
      },
    )

  def _static(self, nodes_BND: Array) -> Array:
    """Convolves the nodes over a learned graph, the same for every image."""
    over_nodes = UniformDense(
      self.num_labels,
      use_bias=False,
      dtype=self.dtype,
      name="static_adjacency",
    )
    mixed_BND = leaky_relu(over_nodes(nodes_BND.swapaxes(1, 2)).swapaxes(1, 2))
    transform = UniformDense(
      self.embed_dim, dtype=self.dtype, name="static_transform"
    )
    return leaky_relu(transform(mixed_BND))
