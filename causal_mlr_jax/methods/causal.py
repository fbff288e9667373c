"""In Pursuit of Causal Label Correlations (NeurIPS 2024).

Label-specific features X come from the decoder of Query2Label ("decouple").
Two heads read them: the decoupled head classifies each label from its own
feature, the causal head from all labels' features under do(X): the backdoor
sum over confounders c, ŷ_j = σ(Σ_c P(c) · fc2(CrossAttn(y_j, X+c, X+c))).
Both have a loss of their own; their predictions are fused.

The paper leaves open what stands between attention and fc2. The literal formula
is `intervention='linear'`, under which nothing is left of the sum over
confounders: it is the logit at their mean, which is zero, since the centres
are centred by P(c). (Weights of the image itself, `adjustment='posterior'` in
training, and centres that are learned have another mean.) See
`nn/confounder_expectation.py`. It also leaves open whether an image is trained
with its own confounders; under `adjustment='offset'`, our default, it is,
whatever the form: under `linear` this is all that confounders do. See
`nn/context_offset.py`.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.lookup import check_name, unknown_name
from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  Array,
  Batch,
  Confounders,
  Criterion,
  Features,
  Losses,
  Output,
  Side,
)
from causal_mlr_jax.nn.causal import confounder_expectation as expectation_lib
from causal_mlr_jax.nn.causal.causal_head import CausalHead
from causal_mlr_jax.nn.causal.context_offset import ContextOffset
from causal_mlr_jax.nn.heads import losses
from causal_mlr_jax.nn.heads.label_decoder import LabelDecoder
from causal_mlr_jax.nn.heads.label_linear import LabelLinear

NEEDS: tuple[str, ...] = ("confounders",)
scores = losses.scores
FUSIONS = ("mean_probability", "mean_logit", "max", "decoupled", "causal")
ADJUSTMENTS = ("offset", "prior", "posterior")
QUERIES = ("shared", "own")


class Head(nn.Module):
  """Decoder, decoupled head, causal head, fusion.

  Attributes:
    num_labels: N.
    embed_dim: D of the decoder and of the causal head.
    num_heads: A of both.
    hidden: feed-forward width F of both.
    num_encoder_layers: of the decoder, over positions.
    num_decoder_layers: of the decoder, from labels to positions.
    dropout: rate in training.
    input_projection: linear map from C to D.
    intervention: 'linear' (no sum over confounders is left, see above),
      'post_norm', 'post_norm_ffn' or 'pre_norm'.
    expectation: 'vmapped', 'scan', 'closed_form' or 'auto'.
    adjustment: 'prior', Σ P(c) in training and at test, as the paper has it;
      'posterior', trained with the share of each confounder in the image
      itself (batch entry `context_share` [B, K]) and tested with the prior;
      'offset', as 'prior', and in training what these shares say of the
      labels is added to the causal head's logits.
    queries: 'shared' with the decoder, or the causal head's 'own'.
    fusion: 'mean_probability', 'mean_logit', 'max', or one head alone:
      'decoupled', 'causal'.
    decoupled_weight: of the decoupled head's loss.
    causal_weight: of the causal head's loss.
    learn_confounders: the centres are where training starts, and are trained
      with the rest; P(c), and `context_share`, stay as they are given.
    single_key: not for training: `aux` also holds `logits_single_key`
      [B, N, N], the causal head's logits of all labels (last axis) given the
      feature of one label alone.
    dtype: of the activations.
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
      UserError: an unknown name among them.
    """
    check_name("method.queries", self.queries, QUERIES)
    check_name("method.adjustment", self.adjustment, ADJUSTMENTS)
    check_name("method.fusion", self.fusion, FUSIONS)
    expectation_lib.resolve(self.intervention, self.expectation)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns fused logits [B, N]; `aux` holds those of both heads."""
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
    """Standardises the centres by the prior and projects them, [K, D]."""
    centres, prior = confounders.centres_KC, confounders.prior_K
    centred_KC = centres - (prior @ centres)[None]
    # One scale for all channels keeps their proportions; with one cluster
    # the deviation is 0 and so is the confounder.
    variance = (prior @ jnp.square(centred_KC)).mean()
    scaled_KC = centred_KC * jax.lax.rsqrt(variance + 1e-12)
    if self.learn_confounders:
      # Learned after they are standardised, so that a step of the optimiser is
      # as large for every network that they may come from; and before they
      # are projected, so that they start as those that are not learned.
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
    """Returns the offset of the causal logits and the context's own logits."""
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
  """Returns the logits [B, N] of the two heads' fused probabilities.

  Args:
    decoupled_BN: logits of the decoupled head.
    causal_BN: logits of the causal head.
    fusion: one of `FUSIONS`.

  Raises:
    UserError: another fusion.
  """
  if fusion == "mean_probability":
    # The logit of (σ(a) + σ(b)) / 2, without leaving the log domain.
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


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the weighted sum of both heads' losses, see `nn/heads/losses.py`.

  The loss of the context's own logits is added where there are any.
  """
  del side
  # The context's loss reaches its own weights alone: its size does not matter.
  names = ("decoupled", "causal", "context")
  logits = {
    name: output.aux[f"logits_{name}"]
    for name in names
    if f"logits_{name}" in output.aux
  }
  weights: dict[str, float] = dict(
    zip(names, output.aux["loss_weights"], strict=False)
  )
  return losses.summed_loss(logits, batch, criterion, weights)
