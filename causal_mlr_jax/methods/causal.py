"""In Pursuit of Causal Label Correlations (NeurIPS 2024).

Label-specific features X come from the decoder of Query2Label ("decouple").
Two heads read them. The decoupled head classifies each label from its own
feature. The causal head classifies it from all labels' features under do(X), by
the backdoor adjustment over confounders c:
ŷ_j = σ(Σ_c P(c) · fc2(CrossAttn(y_j, X+c, X+c))). Each head has its own loss;
their predictions are fused.

The paper does not say which layers are between the attention and fc2. The
literal formula is `intervention='linear'`. There the sum over confounders
reduces to the logit at their mean. This mean is zero because the centres are
centred by P(c), so the sum has no effect. (With the image's own weights in
training, `adjustment='posterior'`, or with learned centres, the mean is not
zero.) See `nn/causal/confounder_expectation.py`.

Nor does the paper say whether an image is trained with its own confounders.
With `adjustment='offset'`, our default, it is, in every form; in `linear` this
is the only effect of the confounders. See `nn/causal/context_offset.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.lookup import check_name, unknown_name
from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ATTENTION,
  Array,
  Batch,
  Confounders,
  Criterion,
  Features,
  Losses,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.causal import confounder_expectation as expectation_lib
from causal_mlr_jax.nn.causal.causal_head import CausalHead
from causal_mlr_jax.nn.causal.context_offset import ContextOffset
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.label_decoder import LabelDecoder
from causal_mlr_jax.nn.heads.label_linear import LabelLinear

NEEDS: tuple[str, ...] = ("confounders",)
MAPS = Maps(
  ATTENTION,
  "the weight of the position in the attention of the label in the last "
  "decoder layer, whose feature both heads read",
)
PARTS = ("decoupled", "causal")
scores = loss_and_scores.scores
FUSIONS = ("mean_probability", "mean_logit", "max", "decoupled", "causal")
ADJUSTMENTS = ("offset", "prior", "posterior")
QUERIES = ("shared", "own")


class Head(nn.Module):
  """Decoder, decoupled head, causal head, fusion.

  Attributes:
    num_labels: Number of labels N.
    embed_dim: Feature width D of the decoder and of the causal head.
    num_heads: Number of attention heads A of both.
    hidden: Feed-forward width F of both.
    num_encoder_layers: Number of the decoder's encoder layers over positions.
    num_decoder_layers: Number of its layers from labels to positions.
    dropout: Dropout rate in training.
    input_projection: Whether a linear map brings C to D.
    intervention: 'linear' (the sum over confounders has no effect, see above),
      'post_norm', 'post_norm_ffn' or 'pre_norm'.
    expectation: 'vmapped', 'scan', 'closed_form' or 'auto'.
    adjustment: 'prior': Σ P(c) in training and at test, as in the paper.
      'posterior': in training the weights are the shares of the confounders in
      the image itself (batch entry `context_share` [B, K]), at test the prior.
      'offset': like 'prior', but in training the causal head's logits include
      an offset computed from these shares.
    queries: 'shared' with the decoder, or the causal head's 'own'.
    fusion: 'mean_probability', 'mean_logit', 'max', or only one of the heads:
      'decoupled', 'causal'.
    decoupled_weight: Weight of the decoupled head's loss.
    causal_weight: Weight of the causal head's loss.
    learn_confounders: Whether the centres are trained with the other
      parameters; P(c) and `context_share` stay fixed.
    single_key: Whether `aux` also holds `logits_single_key` [B, N, N], the
      causal head's logits of all labels (last axis) given the feature of only
      one label; not for training.
    dtype: Dtype of the activations.
  """

  num_labels: int
  embed_dim: int = 512
  num_heads: int = 4
  hidden: int = 2048
  num_encoder_layers: int = 1
  num_decoder_layers: int = 2
  dropout: float = 0.1
  input_projection: bool = True
  intervention: str = "post_norm"
  expectation: str = "auto"
  adjustment: str = "offset"
  queries: str = "shared"
  fusion: str = "mean_probability"
  decoupled_weight: float = 1.0
  causal_weight: float = 1.0
  learn_confounders: bool = False
  single_key: bool = False
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the options.

    Raises:
      UserError: An option has an unknown value.
    """
    check_name("method.queries", self.queries, QUERIES)
    check_name("method.adjustment", self.adjustment, ADJUSTMENTS)
    check_name("method.fusion", self.fusion, FUSIONS)
    expectation_lib.resolve(self.intervention, self.expectation)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns fused logits [B, N]; `aux` holds the logits of each head."""
    normal = nn.initializers.normal(1.0)
    shape = (self.num_labels, self.embed_dim)
    query_ND = self.param("query", normal, shape)
    x_BND, aux = LabelDecoder(
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
    decoupled_BN = LabelLinear(self.num_labels, name="classifier")(x_BND)
    causal_query_ND = query_ND
    if self.queries == "own":
      causal_query_ND = self.param("causal_query", normal, shape)
    confounders: Confounders = need(side, "confounders")
    causal = CausalHead(
      self.num_heads,
      self.hidden,
      self.intervention,
      self.expectation,
      name="causal",
    )
    inputs = (
      nn.Dropout(self.dropout, deterministic=not train)(x_BND),
      causal_query_ND,
      self._projected(confounders),
      self._weights(confounders, side, train),
    )
    causal_BN = causal(*inputs)
    if self.adjustment == "offset":
      offset_BN, context_BN = self._context(confounders, side, train)
      causal_BN = causal_BN + offset_BN
      aux = aux | {"logits_context": context_BN}
    if self.single_key:
      aux = aux | {"logits_single_key": causal(*inputs, single_key=True)}
    return Output(
      fuse(decoupled_BN, causal_BN, self.fusion),
      aux
      | {
        "logits_decoupled": decoupled_BN,
        "logits_causal": causal_BN,
        "loss_weights": (self.decoupled_weight, self.causal_weight),
        "label_features": x_BND,
        "attention": aux[f"decoder_{self.num_decoder_layers - 1}"],
      },
    )

  def _projected(self, confounders: Confounders) -> Array:
    """Standardises the centres under the prior and projects them, [K, D]."""
    centres, prior = confounders.centres_KC, confounders.prior_K
    centred_KC = centres - (prior @ centres)[None]
    # One scale for all channels keeps their proportions. With a single cluster
    # the deviation is 0, and so is the confounder.
    variance = (prior @ jnp.square(centred_KC)).mean()
    scaled_KC = centred_KC * jax.lax.rsqrt(variance + 1e-12)
    if self.learn_confounders:
      # The learned centres are standardised ones, so that the optimiser's steps
      # are equally large for every frozen network, and not yet projected, so
      # that they start equal to centres that are not learned.
      start_KC = scaled_KC
      scaled_KC = self.param("confounders", lambda key: start_KC)
    project = nn.Dense(
      self.embed_dim,
      use_bias=False,
      kernel_init=nn.initializers.xavier_uniform(),
      name="project_confounders",
    )
    return project(scaled_KC)

  def _context(
    self, confounders: Confounders, side: Side, train: bool
  ) -> tuple[Array, Array]:
    """Returns the offset of the causal logits, and the context's logits."""
    prior_K = jnp.asarray(confounders.prior_K)
    share_BK = need(side, "context_share") if train else prior_K[None]
    offset = ContextOffset(self.num_labels, name="context")
    offset_BN, context_BN = offset(share_BK, prior_K)
    return jax.lax.stop_gradient(offset_BN), context_BN

  def _weights(
    self, confounders: Confounders, side: Side, train: bool
  ) -> Array:
    if self.adjustment == "posterior" and train:
      return need(side, "context_share")
    return jnp.asarray(confounders.prior_K)[None]


def fuse(decoupled_BN: Array, causal_BN: Array, fusion: str) -> Array:
  """Returns logits [B, N] of the fused probabilities of both heads.

  Args:
    decoupled_BN: Logits of the decoupled head.
    causal_BN: Logits of the causal head.
    fusion: One of `FUSIONS`.

  Raises:
    UserError: The fusion is unknown.
  """
  if fusion == "mean_probability":
    # The logit of (σ(a) + σ(b)) / 2, computed in the log domain.
    log_sigmoid = jax.nn.log_sigmoid
    positive = jnp.logaddexp(log_sigmoid(decoupled_BN), log_sigmoid(causal_BN))
    negative = jnp.logaddexp(
      log_sigmoid(-decoupled_BN), log_sigmoid(-causal_BN)
    )
    return positive - negative
  if fusion == "mean_logit":
    return (decoupled_BN + causal_BN) / 2
  if fusion == "max":
    return jnp.maximum(decoupled_BN, causal_BN)
  if fusion == "decoupled":
    return decoupled_BN
  if fusion == "causal":
    return causal_BN
  raise unknown_name("method.fusion", fusion, FUSIONS)


def shares(
  parts: Mapping[str, np.ndarray], fields: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Returns how much of the fused probability each head gives, by name.

  The shares [B, N] are not negative and sum to 1. With 'mean_logit' there are
  none, because the probability is no sum of two parts.

  Args:
    parts: Probabilities [B, N] of each head.
    fields: Fields of the head, with `fusion`.
  """
  decoupled_BN, causal_BN = (parts[name] for name in PARTS)
  fusion = fields["fusion"]
  if fusion == "mean_logit":
    return {}
  if fusion == "mean_probability":
    whole_BN = decoupled_BN + causal_BN
    part_BN = decoupled_BN / np.where(whole_BN > 0, whole_BN, 1)
    share_BN = np.where(whole_BN > 0, part_BN, 0.5)
  elif fusion == "max":
    share_BN = (decoupled_BN >= causal_BN).astype(decoupled_BN.dtype)
  else:
    share_BN = np.full_like(decoupled_BN, fusion == "decoupled")
  return {"decoupled": share_BN, "causal": 1 - share_BN}


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the weighted sum of both heads' losses.

  The loss of the context's own logits is added where there are any.
  """
  del side
  # The context's loss trains the context's own weights alone: it needs none.
  names = ("decoupled", "causal", "context")
  logits = {
    name: output.aux[f"logits_{name}"]
    for name in names
    if f"logits_{name}" in output.aux
  }
  weights: dict[str, float] = dict(
    zip(names, output.aux["loss_weights"], strict=False)
  )
  return loss_and_scores.summed_loss(logits, batch, criterion, weights)
