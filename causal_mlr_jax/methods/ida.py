"""IDA: interventional dual attention (Liu et al., ICLR 2023).

Each label attends to the positions of the map once per block of channels, which
samples the label's feature several times. Attention among the samples replaces
the sum over confounders. The queries of the spatial attention, divided by their
norms, are also the weights of the classifier.

The authors' code is not known; details follow the re-implementation
IDA_2023ICLR.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.types import (
  ATTENTION,
  Array,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.attention import MultiHeadAttention
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dense import UniformDense
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform
from causal_mlr_jax.nn.heads.normalised_classifier import block_size, over_norm
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.transformer import EncoderLayer

NEEDS: tuple[str, ...] = ()
MAPS = Maps(
  ATTENTION,
  "the weight of the position in the spatial attention of the label, the "
  "mean over heads",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores
HEAD_NORMS = ("own", "last")


class Head(nn.Module):
  """Spatial attention in each head, attention among heads, and classifier.

  The heads are A consecutive blocks of channels; each gives one token per
  label. The variant 'published' reads the array of features [C / A, A] row by
  row as [A, C / A] without the transposition this needs, so that every token
  mixes all heads. In 'corrected', head t gives token t.

  Attributes:
    num_labels: Number of labels N.
    num_heads: Number of attention heads A.
    num_layers: Number of layers of attention among tokens: 2 in the heavy form
      of the published code, 1 in the light form.
    beta: Constant added to the norm of the weights.
    heavy: Whether layers have normalisation and feed-forward, and an output
      projection follows; light layers have only attention and a skip
      connection.
    hidden: Feed-forward width F of heavy layers.
    head_norm: Norm that each head of the classifier is divided by: that of its
      'own' weights, or that of the 'last' head's weights, as in the second copy
      of the published code.
    variant: 'corrected' or 'published'.
    dtype: Dtype of the activations.
  """

  num_labels: int
  num_heads: int = 4
  num_layers: int = 2
  beta: float = 1 / 32
  heavy: bool = True
  hidden: int = 2048
  head_norm: str = "own"
  variant: str = CORRECTED
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the options.

    Raises:
      UserError: An option has an unknown value.
    """
    check_name("method.head_norm", self.head_norm, HEAD_NORMS)
    check_variant(self.variant)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N]; `attention` [B, N, P] is averaged over heads.

    Raises:
      UserError: A does not divide C.
    """
    del side
    map_BHWC = features.maps["final"].astype(self.dtype)
    batch, height, width, channels = map_BHWC.shape
    heads, labels = self.num_heads, self.num_labels
    size = block_size(channels, heads)
    map_BPAE = map_BHWC.reshape(batch, height * width, heads, size)
    init = symmetric_uniform(size**-0.5)
    weight_ANE = jnp.stack(
      [self.param(f"head_{k}", init, (labels, size)) for k in range(heads)]
    )
    scaled_ANE = over_norm(weight_ANE, self.beta)
    sampled_BNAE, attention_BANP = sample(map_BPAE, scaled_ANE)
    if self.variant == PUBLISHED:
      sampled_BNAE = sampled_BNAE.swapaxes(2, 3)
    tokens = sampled_BNAE.reshape(batch * labels, heads, size)
    mixed = self._mix(tokens, train)
    x_BNC = mixed.reshape(batch, labels, channels)
    if self.heavy:
      x_BNC = UniformDense(channels, dtype=self.dtype, name="out")(x_BNC)
    if self.head_norm == "last":
      scaled_ANE = over_norm(weight_ANE, self.beta, weight_ANE[-1:])
    logits_BN = jnp.einsum(
      "BNAE,ANE->BN",
      x_BNC.reshape(batch, labels, heads, size).astype(jnp.float32),
      scaled_ANE,
    )
    aux = {
      "tokens": tokens,
      "mixed_tokens": mixed,
      "attention": attention_BANP.mean(1),
    }
    return Output(logits_BN, aux)

  def _mix(self, tokens: Array, train: bool) -> Array:
    """Applies the layers to tokens [B * N, A, C / A]."""
    for i in range(self.num_layers):
      if self.heavy:
        tokens, _ = EncoderLayer(
          1, self.hidden, dtype=self.dtype, name=f"layer_{i}"
        )(tokens, None, train=train)
      else:
        tokens = LightLayer(self.dtype, name=f"layer_{i}")(tokens, train=train)
    return tokens


class LightLayer(nn.Module):
  """x + attention(x), with one head and without normalisation."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x_BQD: Array, *, train: bool) -> Array:
    """Returns an array of the shape of `x_BQD`."""
    attention = MultiHeadAttention(1, dtype=self.dtype, name="self_attention")
    return x_BQD + attention(x_BQD, x_BQD, x_BQD, train=train)[0]


def sample(map_BPAE: Array, weight_ANE: Array) -> tuple[Array, Array]:
  """Samples one feature per label and head from a feature map by attention.

  Args:
    map_BPAE: A feature map whose channels are split into A blocks of E.
    weight_ANE: Query of each label in each head.

  Returns:
    Features [B, N, A, E], and the attention [B, A, N, P], float32.
  """
  logits_BANP = jnp.einsum(
    "BPAE,ANE->BANP",
    map_BPAE,
    weight_ANE.astype(map_BPAE.dtype),
    preferred_element_type=jnp.float32,
  )
  attention_BANP = jax.nn.softmax(logits_BANP, axis=-1)
  features_BNAE = jnp.einsum(
    "BANP,BPAE->BNAE", attention_BANP.astype(map_BPAE.dtype), map_BPAE
  )
  return features_BNAE, attention_BANP
