"""C-Tran (Lanchantin et al. 2021, arXiv:2011.14027).

A transformer over the positions of the feature map and the labels together.
Labels that are known of an image, positive or negative, say so in their
tokens; training makes part of them known and asks for the others.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  Array,
  Batch,
  Criterion,
  Features,
  Losses,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import losses
from causal_mlr_jax.nn.heads.label_linear import LabelLinear, symmetric_uniform
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.tokens import map_tokens
from causal_mlr_jax.nn.transformer import LAYER_NORM_EPS, EncoderLayer

NEEDS: tuple[str, ...] = ("label_state",)
scores = losses.scores


class Head(nn.Module):
  """Encoder layers over positions and labels, one classifier a label.

  As in the published code positions have no encoding. There the embedding of
  the state 'unknown', meant to be zero, is a random vector that does not
  learn: 'published' keeps it, 'corrected' has zero. The encoder's layers
  start as those of the other methods (Xavier), not from U(±D^-1/2).

  Attributes:
    num_labels: N.
    embed_dim: D.
    num_heads: A.
    hidden: feed-forward width F.
    num_layers: of the encoder.
    dropout: rate in training.
    input_projection: linear map from C to D.
    use_state: whether tokens say which labels are known.
    known_labels: part of each image's labels that the program makes known at
      test; the head reads `label_state` alone.
    variant: 'corrected' or 'published'.
    dtype: of the activations.
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
      UserError: an unknown variant.
    """
    check_variant(self.variant)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N].

    `aux` holds label features [B, N, D]; the attention of each layer over
    the P positions and then the N labels, `encoder_i` [B, P + N, P + N]; and
    that of the labels to the positions in the last one, `attention`
    [B, N, P].

    Raises:
      UserError: C differs from D and there is no input projection.
    """
    image_BPD = map_tokens(
      features.maps["final"], self.embed_dim, self.input_projection, self.dtype
    )
    positions = image_BPD.shape[1]
    label_BND = self._label_tokens(len(image_BPD), side).astype(self.dtype)
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
    """Returns what stands for each label: itself and what is known of it."""
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
  """Returns the loss of the labels that are not known, and it by name.

  It is their sum over the size [B, N] of the batch, known labels counting as
  0, and not the mean over the unknown ones: with `loss.reduction='sum'` it
  is the published sum over the batch.

  Args:
    output: of the head.
    batch: with `labels` [B, N].
    side: with `label_state` [B, N].
    criterion: loss of each example and label, from logits and labels [B, N].
  """
  unknown_BN = jnp.asarray(need(side, "label_state")) < 0
  loss_BN = criterion(output.logits, batch["labels"])
  value = jnp.where(unknown_BN, loss_BN, 0).mean()
  return value, {"unknown_labels": value}
