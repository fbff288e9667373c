"""Query2Label (Liu et al. 2021, arXiv:2107.10834).

Learned label queries attend to the positions of the feature map; each label
is classified from its own feature vector. It is also the "Decouple" row of
the causal paper's Table 3.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import (
  ATTENTION,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.label_decoder import LabelDecoder
from causal_mlr_jax.nn.heads.label_linear import LabelLinear

NEEDS: tuple[str, ...] = ()
MAPS = Maps(
  ATTENTION,
  "the weight of the position in the attention of the label in the last "
  "decoder layer",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores


class Head(nn.Module):
  """Label queries, decoder, and one linear classifier per label.

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Feature width D.
    num_heads: Number of attention heads A.
    hidden: Feed-forward width F.
    num_encoder_layers: Number of encoder layers over the positions.
    num_decoder_layers: Number of decoder layers from labels to positions.
    dropout: Dropout rate in training.
    input_projection: Whether a linear map brings C to D.
    dtype: Dtype of the activations.
  """

  num_labels: int
  embed_dim: int = 2048
  num_heads: int = 4
  hidden: int = 8192
  num_encoder_layers: int = 1
  num_decoder_layers: int = 2
  dropout: float = 0.1
  input_projection: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N]; `aux` holds label features and attention."""
    del side
    query_ND = self.param(
      "query",
      nn.initializers.normal(1.0),
      (self.num_labels, self.embed_dim),
    )
    label_features_BND, aux = LabelDecoder(
      self.embed_dim,
      self.num_heads,
      self.hidden,
      self.num_encoder_layers,
      self.num_decoder_layers,
      self.dropout,
      self.input_projection,
      self.dtype,
      name="decoder",
    )(features.maps["final"], query_ND, train=train)
    logits_BN = LabelLinear(self.num_labels, name="classifier")(
      label_features_BND
    )
    last = aux[f"decoder_{self.num_decoder_layers - 1}"]
    aux = aux | {"label_features": label_features_BND, "attention": last}
    return Output(logits_BN, aux)
