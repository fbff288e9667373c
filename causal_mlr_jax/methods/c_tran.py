"""C-Tran (Lanchantin et al. 2021, arXiv:2011.14027).

A transformer attends over the positions of the feature map and the labels
together. The tokens of an image's known labels say whether they are positive or
negative; training reveals some of the labels and predicts the others.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ATTENTION,
  Array,
  Batch,
  Criterion,
  Features,
  Losses,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.label_linear import LabelLinear, symmetric_uniform
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.tokens import map_tokens
from causal_mlr_jax.nn.transformer import LAYER_NORM_EPS, EncoderLayer

NEEDS: tuple[str, ...] = ("label_state",)
MAPS = Maps(
  ATTENTION,
  "the weight of the position in the attention of the label in the last "
  "layer, where labels share the attention",
)
scores = loss_and_scores.scores


class Head(nn.Module):
  """Encoder layers over positions and labels, and one classifier per label.

  As in the published code, positions have no encoding. In that code the
  embedding of the state 'unknown', which should be zero, is a random vector
  that is not trained: 'published' keeps it, 'corrected' has zero. Encoder
  layers are initialised as in the other methods (Xavier), not from U(±D^-1/2).

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Feature width D.
    num_heads: Number of attention heads A.
    hidden: Feed-forward width F.
    num_layers: Number of encoder layers.
    dropout: Dropout rate in training.
    input_projection: Whether a linear map brings C to D.
    use_state: Whether tokens say which labels are known.
    known_labels: Fraction of each image's labels that the program reveals at
      test; the head itself reads only `label_state`.
    variant: 'corrected' or 'published'.
    dtype: Dtype of the activations.
  """

  num_labels: int
  embed_dim: int = 2048
  num_heads: int = 4
  hidden: int = 2048
  num_layers: int = 3
  dropout: float = 0.1
  input_projection: bool = False
  use_state: bool = True
  known_labels: float = 0.0
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

    `aux` holds label features [B, N, D]; the attention of each layer over the P
    positions followed by the N labels, `encoder_i` [B, P + N, P + N]; and the
    attention from labels to positions in the last layer, `attention` [B, N, P].

    Raises:
      UserError: C differs from D and there is no input projection.
    """
    image_BPD = map_tokens(
      features.maps["final"], self.embed_dim, self.input_projection, self.dtype
    )
    positions = image_BPD.shape[1]
    label_BND = self._label_tokens(image_BPD.shape[0], side).astype(self.dtype)
    norm = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")
    x = norm(jnp.concatenate([image_BPD, label_BND], axis=1))
    aux: dict[str, Array] = {}
    for i in range(self.num_layers):
      x, aux[f"encoder_{i}"] = EncoderLayer(
        self.num_heads,
        self.hidden,
        self.dropout,
        dtype=self.dtype,
        name=f"encoder_{i}",
      )(x, None, train=train)
    label_features_BND = x[:, positions:]
    logits_BN = LabelLinear(self.num_labels, name="classifier")(
      label_features_BND
    )
    last = aux[f"encoder_{self.num_layers - 1}"]
    aux |= {
      "label_features": label_features_BND,
      "attention": last[:, positions:, :positions],
    }
    return Output(logits_BN, aux)

  def _label_tokens(self, batch: int, side: Side) -> Array:
    """Returns the label tokens: embeddings of the label plus its state."""
    init = symmetric_uniform(self.embed_dim**-0.5)
    shape = (self.num_labels, self.embed_dim)
    label_ND = self.param("label_embedding", init, shape)
    if not self.use_state:
      return jnp.broadcast_to(label_ND[None], (batch, *shape))
    published = self.variant == PUBLISHED
    table = self.param(
      "state_embedding", init, (3 if published else 2, self.embed_dim)
    )
    if published:
      unknown_1D, known_2D = lax.stop_gradient(table[:1]), table[1:]
    else:
      unknown_1D, known_2D = jnp.zeros_like(table[:1]), table
    # Rows: unknown (-1), known negative (0), known positive (1).
    state_3D = jnp.concatenate([unknown_1D, known_2D])
    state_BN = jnp.asarray(need(side, "label_state"))
    return label_ND[None] + state_3D[state_BN + 1]


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the loss of the labels that are not known, alone and by name.

  It is the mean over all B * N entries, where known labels count as 0, rather
  than the mean over the unknown ones. With `loss.reduction='sum'` it is thus
  the published sum over the batch.

  Args:
    output: The head's output.
    batch: A batch with `labels` [B, N].
    side: Side inputs with `label_state` [B, N].
    criterion: Loss of each example and label, from logits and labels [B, N].
  """
  unknown_BN = jnp.asarray(need(side, "label_state")) < 0
  loss_BN = criterion(output.logits, batch["labels"])
  value = jnp.where(unknown_BN, loss_BN, 0).mean()
  return value, {"unknown_labels": value}
