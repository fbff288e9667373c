"""IDA: interventional dual attention (Liu et al., ICLR 2023).

Each label attends to the positions of the map once in each block of the
channels, which samples the label's feature several times; attention among
the samples takes the place of the sum over confounders. The maps of the
spatial attention, over their norms, classify the result too.

No code of the authors is known; the facts are those of the re-implementation
IDA_2023ICLR.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.types import Array, Features, Output, Side
from causal_mlr_jax.nn.attention import MultiHeadAttention
from causal_mlr_jax.nn.heads import losses
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
loss, scores = losses.loss, losses.scores
HEAD_NORMS = ("own", "last")


class Head(nn.Module):
  """Spatial attention a head, attention among heads, classifier.

  Heads are A consecutive blocks of the channels; each gives a label one
  token. In variant 'published' the array of features [C / A, A] is read row
  by row as [A, C / A], without the transposition this needs, so every token
  mixes all heads. 'corrected' makes head t token t.

  Attributes:
    num_labels: N.
    num_heads: A.
    num_layers: of the attention among tokens: 2 in the heavy form of the
      published program, 1 in the light one.
    beta: added to the norm of the weights.
    heavy: layers with normalisation and feed-forward, and an output
      projection; light layers are attention and a skip connection alone.
    hidden: feed-forward width F of heavy layers.
    head_norm: what each head of the classifier is divided by: the norm of
      its 'own' weights, or that of the 'last' head's, as the second copy of
      the published program does.
    variant: 'corrected' or 'published'.
    dtype: of the activations.
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
      UserError: an unknown name among them.
    """
    check_name("method.head_norm", self.head_norm, HEAD_NORMS)
    check_variant(self.variant)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N]; `attention` [B, N, P] is the mean over heads.

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
  """x + attention(x), one head, nothing normalised."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x_BQD: Array, *, train: bool) -> Array:
    """Returns an array of the shape of `x_BQD`."""
    attention = MultiHeadAttention(1, dtype=self.dtype, name="self_attention")
    return x_BQD + attention(x_BQD, x_BQD, x_BQD, train=train)[0]


def sample(map_BPAE: Array, weight_ANE: Array) -> tuple[Array, Array]:
  """Takes a feature of each label and head out of a map.

  Args:
    map_BPAE: a map, its channels in A blocks of E.
    weight_ANE: the label's query in each head.

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
