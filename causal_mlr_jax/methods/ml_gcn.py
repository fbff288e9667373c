"""ML-GCN (Chen et al. 2019, arXiv:1904.03582).

A graph convolutional network over the labels turns their word vectors into
classifiers of a pooled feature map. The graph comes from the co-occurrence of
training labels.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ACTIVATION,
  Array,
  Cooccurrence,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dynamic_graph import leaky_relu
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.pooling import global_pool

NEEDS: tuple[str, ...] = ("cooccurrence", "label_embeddings")
MAPS = Maps(
  ACTIVATION,
  "the logit at the position of the classifier that the graph makes",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores


class GraphConvolution(nn.Module):
  """Graph convolution Â x W, without a bias.

  Attributes:
    features: Width of the result.
  """

  features: int

  @nn.compact
  def __call__(self, nodes_ND: Array, graph_NN: Array) -> Array:
    """Returns nodes [N, features], float32."""
    init = symmetric_uniform(self.features**-0.5)
    weight = self.param("weight", init, (nodes_ND.shape[1], self.features))
    return graph_NN @ (nodes_ND @ weight)


class Head(nn.Module):
  """Classifiers from two graph convolutions, applied to the pooled feature map.

  The variant 'published' takes the maximum only over a window in the top left
  corner of the map, which is the whole map for images of 448 pixels but not for
  larger ones; 'corrected' takes it over all positions.

  Attributes:
    num_labels: Number of labels N.
    hidden: Width of the first convolution.
    threshold: Conditional probability τ from which there is an edge.
    reweight: Total weight p of a label's neighbours.
    variant: 'corrected' or 'published'.
    window: Side of the window of 'published', in positions.
    dtype: Dtype of the class activation maps; the graph is float32.
  """

  num_labels: int
  hidden: int = 1024
  threshold: float = 0.4
  reweight: float = 0.25
  variant: str = CORRECTED
  window: int = 14
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the options.

    Raises:
      UserError: The variant is unknown.
    """
    check_variant(self.variant)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N].

    `aux` holds the class activation maps `attention` [B, N, P], the `graph`
    [N, N], and the nodes after each convolution, `hidden` [N, F] and
    `classifiers` [N, C].
    """
    del train
    map_BHWC = features.maps["final"]
    adjacency_NN = self.variable(
      "constants",
      "adjacency",
      lambda: adjacency(
        need(side, "cooccurrence"), self.threshold, self.reweight
      ),
    ).value
    graph_NN = normalised(adjacency_NN)
    words_NE = jnp.asarray(need(side, "label_embeddings"), jnp.float32)
    hidden_NF = GraphConvolution(self.hidden, name="graph1")(words_NE, graph_NN)
    classifiers_NC = GraphConvolution(map_BHWC.shape[-1], name="graph2")(
      leaky_relu(hidden_NF), graph_NN
    )
    pooled_BC = global_pool(self._seen(map_BHWC), "gmp")
    x_BPC = map_BHWC.reshape(map_BHWC.shape[0], -1, map_BHWC.shape[-1])
    cam_BNP = jnp.einsum(
      "BPC,NC->BNP",
      x_BPC.astype(self.dtype),
      classifiers_NC.astype(self.dtype),
    )
    return Output(
      pooled_BC @ classifiers_NC.T,
      {
        "attention": cam_BNP,
        "graph": graph_NN,
        "hidden": hidden_NF,
        "classifiers": classifiers_NC,
      },
    )

  def _seen(self, map_BHWC: Array) -> Array:
    if self.variant == PUBLISHED:
      return map_BHWC[:, : self.window, : self.window]
    return map_BHWC


def adjacency(
  counted: Cooccurrence, threshold: float, reweight: float
) -> Array:
  """Returns the re-weighted graph with self-loops [N, N] (equation 8).

  Row i has an edge to j where P(j | i) reaches the threshold. The edges into a
  label sum to `reweight`: the sum is over the column, as in the published code
  and in the authors' correction of the equation.

  Args:
    counted: Counts of labels and of pairs of labels in the training split.
    threshold: Threshold τ.
    reweight: Total weight p of a label's neighbours.
  """
  # A probability of exactly τ is an edge, however the quotient was rounded.
  edges_NN = counted.conditional() >= threshold * (1 - 3e-7)
  edges_NN = jnp.asarray(edges_NN, jnp.float32)
  into_N = edges_NN.sum(axis=0)
  return reweight * edges_NN / (into_N + 1e-6)[None] + jnp.eye(len(edges_NN))


def normalised(adjacency_NN: Array) -> Array:
  """Returns D^-1/2 Aᵀ D^-1/2 [N, N], where D are the row sums of A."""
  scale_N = lax.rsqrt(adjacency_NN.sum(axis=1))
  return scale_N[:, None] * adjacency_NN.T * scale_N[None]
