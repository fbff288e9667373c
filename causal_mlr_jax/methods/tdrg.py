"""TDRG (Zhao et al. 2021, "Transformer-based Dual Relation Graph").

A transformer reads the second to last feature map, the last one and a smaller
third one, after combining each with the others by multiplication (structural
relations). Semantic attention gathers one vector per label, and a graph,
predicted from the image and guided by the transformer, convolves these vectors
(semantic relations).

The transformer has no position encodings: the published code computes some but
does not pass them on, and neither variant has any.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import (
  ACTIVATION,
  Array,
  Batch,
  Criterion,
  Features,
  Losses,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.conv import Conv
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dense import UniformDense
from causal_mlr_jax.nn.heads.dynamic_graph import DynamicGraph
from causal_mlr_jax.nn.heads.label_linear import LabelLinear, symmetric_uniform
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.heads.semantic_nodes import (
  SemanticNodes,
  gather,
  top_mean,
)
from causal_mlr_jax.nn.resize import resize_aligned
from causal_mlr_jax.nn.transformer import EncoderLayer

NEEDS: tuple[str, ...] = ()
MAPS = Maps(
  ACTIVATION,
  "the logit at the position of the classifier that gathers the label's "
  "feature (semantic attention)",
)
PARTS = ("transformer", "graph", "semantic")
scores = loss_and_scores.scores
# Weight of each branch in the score.
TRANSFORMER_SHARE, GRAPH_SHARE = 0.7, 0.3
TOP_SHARE = 0.05  # share of positions that the third classifier averages
WINDOW = 3  # kernel side of the convolution that makes the smallest map
exact_gelu = partial(nn.gelu, approximate=False)


class Head(nn.Module):
  """Cross-scale maps, shared encoder, semantic nodes, and guided graph.

  `variant='published'` is the code behind the paper's numbers. For each
  position separately, its encoder attends over the images of a batch (of one
  device's batch), so that a prediction depends on the other images.
  'corrected' attends over the positions of each image. On final maps of 10
  positions or fewer, 5 % of the positions round to none, and the published code
  divides by zero; here one position is used, in both variants.

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Feature width D of the encoder; nodes are twice as wide.
    num_heads: Number of attention heads A of the encoder.
    hidden: Feed-forward width F of the encoder.
    num_layers: Number of encoder layers, which the three scales share.
    dropout: Dropout rate of the encoder in training.
    middle_stage: Name of the second to last feature map.
    variant: 'corrected' or 'published'.
    dtype: Dtype of the activations.
  """

  num_labels: int
  embed_dim: int = 512
  num_heads: int = 4
  hidden: int = 2048
  num_layers: int = 3
  dropout: float = 0.0
  middle_stage: str = "stage3"
  variant: str = CORRECTED
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the variant.

    Raises:
      UserError: The variant is unknown.
    """
    check_variant(self.variant)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N], the fusion of transformer and graph.

    `aux` holds the class activation maps `attention` [B, N, P], the logits of
    the three classifiers, the encoded scales [B, P, D] from fine to coarse, the
    nodes [B, N, 2D] before and after the graph (`label_features`), and the
    graph's adjacency [B, N, N].

    Raises:
      UserError: There is no map `middle_stage`, or the final map is smaller
        than 3 x 3.
    """
    del side
    middle_BHWC, final_BHWC = self._maps(features.maps)
    encoded = self._encoded(self._scales(middle_BHWC, final_BHWC), train)
    classify = UniformDense(
      self.num_labels,
      dtype=self.dtype,
      out_dtype=jnp.float32,
      name="transformer_classifier",
    )
    pooled = [x_BPD.max(axis=1) for x_BPD in encoded]
    transformer_BN = classify(jnp.concatenate(pooled, axis=-1))
    x_BPC = flattened(final_BHWC)
    cam_BNP, mask_BNP, nodes_BND = SemanticNodes(
      self.num_labels, self.embed_dim, self.dtype, name="nodes"
    )(x_BPC)
    structure_BND = self._structure(encoded[1], mask_BNP)
    joint_BND = jnp.concatenate([nodes_BND, structure_BND], axis=-1)
    update_BND, adjacency_BNN = self._graph(joint_BND, encoded, train)
    label_features_BND = joint_BND + update_BND
    classify_graph = LabelLinear(self.num_labels, name="classifier")
    graph_BN = classify_graph(label_features_BND)
    # Python rounds halves to even, as the published code does.
    count = max(1, round(TOP_SHARE * x_BPC.shape[1]))
    return Output(
      TRANSFORMER_SHARE * transformer_BN + GRAPH_SHARE * graph_BN,
      {
        "attention": cam_BNP,
        "logits_transformer": transformer_BN,
        "logits_graph": graph_BN,
        "logits_semantic": top_mean(cam_BNP, count),
        "encoded": encoded,
        "nodes": joint_BND,
        "label_features": label_features_BND,
        "adjacency": adjacency_BNN,
      },
    )

  def _maps(self, maps: Mapping[str, Array]) -> tuple[Array, Array]:
    """Returns the middle and the final map."""
    if self.middle_stage not in maps:
      raise UserError(
        f"method.middle_stage = {self.middle_stage!r} is not a feature map of "
        f"this backbone. Expected one of {', '.join(sorted(maps))}; set "
        "method.middle_stage to the second to last map."
      )
    final_BHWC = maps["final"]
    height, width = final_BHWC.shape[1:3]
    if min(height, width) < WINDOW:
      raise UserError(
        f"TDRG needs a final map of at least {WINDOW} x {WINDOW}, and got "
        f"{height} x {width}: use larger images, or a backbone with a smaller "
        "stride."
      )
    return maps[self.middle_stage], final_BHWC

  def _scales(self, middle_BHWC: Array, final_BHWC: Array) -> list[Array]:
    """Returns three maps of width D that are combined across scales.

    Each is resized to the finest grid, the product of all three is added to it,
    and it is resized back to its own grid.
    """

    def linear(name: str) -> UniformDense:
      return UniformDense(self.embed_dim, dtype=self.dtype, name=name)

    fan_in = WINDOW**2 * final_BHWC.shape[-1]
    shrink = Conv(
      self.embed_dim,
      WINDOW,
      stride=2,
      padding=0,
      use_bias=True,
      dtype=self.dtype,
      kernel_init=symmetric_uniform(fan_in**-0.5),
      name="project_small",
    )
    maps = [
      linear("project_middle")(middle_BHWC),
      linear("project_final")(final_BHWC),
      shrink(final_BHWC),
    ]
    grids = [x.shape[1:3] for x in maps]
    finest = (max(h for h, _ in grids), max(w for _, w in grids))
    large = [resize_aligned(x, finest) for x in maps]
    product = large[0] * large[1] * large[2]
    return [
      resize_aligned(x + product, grid)
      for x, grid in zip(large, grids, strict=True)
    ]

  def _encoded(self, scales: list[Array], train: bool) -> list[Array]:
    """Returns each scale [B, P, D] after the same encoder layers."""
    layers = [
      EncoderLayer(
        self.num_heads,
        self.hidden,
        self.dropout,
        exact_gelu,
        self.dtype,
        name=f"encoder_{i}",
      )
      for i in range(self.num_layers)
    ]
    over_batch = self.variant == PUBLISHED

    def encode(x: Array) -> Array:
      x = x.swapaxes(0, 1) if over_batch else x
      for layer in layers:
        x, _ = layer(x, None, train=train)
      return x.swapaxes(0, 1) if over_batch else x

    return [encode(flattened(x_BHWC)) for x_BHWC in scales]

  # The transformer guides the nodes and the graph but gets no gradient from
  # them.

  def _structure(self, encoded_BPD: Array, mask_BNP: Array) -> Array:
    """Returns the encoded map summed under each label's mask, [B, N, D]."""
    gathered_BND = jax.lax.stop_gradient(gather(encoded_BPD, mask_BNP))
    return UniformDense(self.embed_dim, dtype=self.dtype, name="guidance")(
      gathered_BND
    )

  def _graph(
    self, nodes_BND: Array, encoded: list[Array], train: bool
  ) -> tuple[Array, Array]:
    """Returns the nodes' update [B, N, 2D] and the adjacency [B, N, N]."""
    means = [guide_BPD.mean(axis=1) for guide_BPD in encoded]
    context_BE = jax.lax.stop_gradient(jnp.concatenate(means, axis=-1))
    return DynamicGraph(self.dtype, name="graph")(
      nodes_BND, context_BE, train=train
    )


def flattened(map_BHWC: Array) -> Array:
  """Returns the positions [B, P, C] of a map."""
  return map_BHWC.reshape(map_BHWC.shape[0], -1, map_BHWC.shape[-1])


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the sum of four losses, of the score and of each classifier."""
  del side
  logits = {
    "score": output.logits,
    "trans": output.aux["logits_transformer"],
    "gcn": output.aux["logits_graph"],
    "sac": output.aux["logits_semantic"],
  }
  return loss_and_scores.summed_loss(logits, batch, criterion)
