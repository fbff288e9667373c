"""SSGRL (Chen et al. 2019, arXiv:1908.07325).

Word vectors guide the attention that gathers one feature vector per label. A
gated graph network over the labels' conditional probabilities passes messages
between these vectors. Each label is classified from its vectors before and
after the graph network.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ATTENTION,
  Array,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dense import UniformDense
from causal_mlr_jax.nn.heads.label_linear import LabelLinear, symmetric_uniform
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)

NEEDS: tuple[str, ...] = ("cooccurrence", "label_embeddings")
MAPS = Maps(
  ATTENTION,
  "the weight of the position in the attention that the label's word "
  "vector guides; positions of a window share its weight",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores


class Head(nn.Module):
  """Semantic decoupling, gated graph network, and one classifier per label.

  In 'published' the graph's reset gate uses the update gate's matrix for the
  state; in 'corrected' it has its own matrix, as in the paper.

  Attributes:
    num_labels: Number of labels N.
    joint_dim: Width J of the joint space of positions and words.
    output_dim: Width D of the vectors that are classified.
    steps: Number of message-passing steps.
    pool: Side of the windows that are averaged first; positions at the right
      and bottom that do not fill a window are ignored.
    variant: 'corrected' or 'published'.
    dtype: Dtype of the activations.
  """

  num_labels: int
  joint_dim: int = 1024
  output_dim: int = 2048
  steps: int = 3
  pool: int = 2
  variant: str = CORRECTED
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

    `aux` holds the attention over windows, `pooled_attention` [B, N, h, w]; the
    same over the positions of the final map, `attention` [B, N, P], where the
    positions of a window share its weight; and each label's vectors [B, N, C]
    before (`semantic`) and after the graph network (`graph`).

    Raises:
      UserError: The final map is smaller than a window.
    """
    del train
    map_BHWC = features.maps["final"].astype(self.dtype)
    pooled_BhwC = average_windows(map_BHWC, self.pool)
    batch, height, width, channels = pooled_BhwC.shape
    words_NE = jnp.asarray(need(side, "label_embeddings"), self.dtype)
    semantic_BNC, weight_BNP = SemanticDecoupling(
      self.joint_dim, self.dtype, name="semantic"
    )(pooled_BhwC.reshape(batch, height * width, channels), words_NE)
    graph_BNC = GatedGraph(self.steps, self.variant, self.dtype, name="graph")(
      semantic_BNC, jnp.asarray(need(side, "cooccurrence").conditional())
    )
    joined = jnp.concatenate([graph_BNC, semantic_BNC], axis=-1)
    output = UniformDense(self.output_dim, dtype=self.dtype, name="output")
    logits_BN = LabelLinear(self.num_labels, name="classifier")(
      jnp.tanh(output(joined))
    )
    weight_BNhw = weight_BNP.reshape(batch, -1, height, width)
    return Output(
      logits_BN,
      {
        "attention": over_positions(weight_BNhw, map_BHWC.shape, self.pool),
        "pooled_attention": weight_BNhw,
        "semantic": semantic_BNC,
        "graph": graph_BNC,
      },
    )


class Weights(nn.Module):
  """The kernel and bias of a linear map that is merged with another one.

  The bias exists only for the published weights: it adds the same value to the
  scores of all positions, which softmax ignores, so it is not trained.
  """

  features: int

  @nn.compact
  def __call__(self, width: int) -> tuple[Array, Array]:
    """Returns the kernel [width, features] and the bias [features]."""
    init = symmetric_uniform(width**-0.5)
    kernel = self.param("kernel", init, (width, self.features))
    bias = self.param("bias", init, (self.features,))
    return kernel, lax.stop_gradient(bias)


class SemanticDecoupling(nn.Module):
  """Attention of words to positions through low-rank bilinear pooling.

  The paper's semantic decoupling: score = u · W_3 tanh(W_1 x ∘ W_2 g). Since
  nothing comes between W_3 and u, their product is computed once, instead of a
  J x J product for every pair of a position and a label.

  Attributes:
    joint_dim: Width J of the joint space.
    dtype: Dtype of the activations.
  """

  joint_dim: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x_BPC: Array, words_NE: Array) -> tuple[Array, Array]:
    """Returns features [B, N, C] and attention [B, N, P], float32."""

    def project(name: str) -> UniformDense:
      return UniformDense(
        self.joint_dim, use_bias=False, dtype=self.dtype, name=name
      )

    kernel, bias = Weights(self.joint_dim, name="joint")(self.joint_dim)
    vector, offset = Weights(1, name="score")(self.joint_dim)
    score_BNP = joint_scores(
      project("position")(x_BPC), project("word")(words_NE), kernel @ vector
    )
    score_BNP = score_BNP + (bias @ vector + offset).reshape(1, 1, 1)
    weight_BNP = jax.nn.softmax(score_BNP, axis=-1)
    gathered_BNC = jnp.einsum(
      "BNP,BPC->BNC", weight_BNP.astype(x_BPC.dtype), x_BPC
    )
    return gathered_BNC, weight_BNP


def joint_scores(position_BPJ: Array, word_NJ: Array, score_J1: Array) -> Array:
  """Returns tanh(position ∘ word) · score [B, N, P], float32.

  Labels are processed one by one, and recomputed in the backward pass, so that
  no array [B, P, N, J] is needed: for 16 images of 49 positions, 80 labels and
  J = 1024 this takes 10 MiB instead of 980, and a tenth of the time on a CPU.

  Args:
    position_BPJ: Projected positions.
    word_NJ: Projected words.
    score_J1: Kernel that maps a joint vector to its score.
  """
  score_BPJ = score_J1.reshape(1, 1, -1)

  @jax.checkpoint
  def of_label(word_J: Array) -> Array:
    joint_BPJ = jnp.tanh(position_BPJ * word_J[None, None])
    return (joint_BPJ.astype(jnp.float32) * score_BPJ).sum(axis=-1)

  score_NBP = lax.map(of_label, word_NJ)
  return score_NBP.swapaxes(0, 1)


class GatedGraph(nn.Module):
  """Gated message passing along the graph's edges, in both directions.

  The paper's semantic interaction: a GRU whose input is the message.

  Attributes:
    steps: Number of steps T.
    variant: 'corrected' or 'published', see `Head`.
    dtype: Dtype of the activations.
  """

  steps: int
  variant: str
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, nodes_BNC: Array, graph_NN: Array) -> Array:
    """Returns the nodes after the last step, [B, N, C]."""

    def linear(name: str) -> UniformDense:
      return UniformDense(nodes_BNC.shape[-1], dtype=self.dtype, name=name)

    update_message, update_state = linear("update_message"), linear("update")
    reset_message = linear("reset_message")
    new_message, new_state = linear("new_message"), linear("new")
    own = self.variant != PUBLISHED
    reset_state = linear("reset") if own else update_state
    graph_NN = graph_NN.astype(self.dtype)
    for _ in range(self.steps):
      message = jnp.concatenate(
        [
          jnp.einsum("NM,BMC->BNC", graph_NN, nodes_BNC),
          jnp.einsum("MN,BMC->BNC", graph_NN, nodes_BNC),
        ],
        axis=-1,
      )
      update = nn.sigmoid(update_message(message) + update_state(nodes_BNC))
      reset = nn.sigmoid(reset_message(message) + reset_state(nodes_BNC))
      new = jnp.tanh(new_message(message) + new_state(reset * nodes_BNC))
      nodes_BNC = (1 - update) * nodes_BNC + update * new
    return nodes_BNC


def average_windows(map_BHWC: Array, size: int) -> Array:
  """Returns the averages of non-overlapping windows, [B, h, w, C].

  Args:
    map_BHWC: A feature map.
    size: Side of a window; h is ⌊H / size⌋.

  Raises:
    UserError: The map is smaller than a window.
  """
  batch, height, width, channels = map_BHWC.shape
  h, w = height // size, width // size
  if not h or not w:
    raise UserError(
      f"method.pool = {size} is larger than the final feature map, which is "
      f"{height} x {width}; use larger images, or method.pool=1."
    )
  cut = map_BHWC[:, : h * size, : w * size]
  return cut.reshape(batch, h, size, w, size, channels).mean(axis=(2, 4))


def over_positions(
  weight_BNhw: Array, shape: tuple[int, ...], size: int
) -> Array:
  """Spreads attention over windows to attention over positions, [B, N, P].

  Args:
    weight_BNhw: Attention weight of each window.
    shape: Shape [B, H, W, C] of the map; positions outside all windows get 0.
    size: Side of a window; its positions share its weight.
  """
  spread = jnp.repeat(jnp.repeat(weight_BNhw, size, axis=2), size, axis=3)
  below, right = (shape[i + 1] - spread.shape[i + 2] for i in range(2))
  spread = jnp.pad(spread, ((0, 0), (0, 0), (0, below), (0, right)))
  return spread.reshape(*spread.shape[:2], -1) / size**2
