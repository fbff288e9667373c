"""The feature-split method of Singh et al. (CVPR 2020, arXiv:2001.03152).

Half of the channels may represent context; the other half must work without it.
Where a label b appears without its context c, the context channels are replaced
by their mean over recent images, and the label has a larger weight. At test the
method is the plain classifier. Details that the paper leaves open follow its
re-implementation for the ML Reproducibility Challenge.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ACTIVATION,
  Array,
  Batch,
  Cooccurrence,
  Criterion,
  Features,
  Losses,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores, pooled_classifier
from causal_mlr_jax.nn.heads.published_variant import (
  CORRECTED,
  PUBLISHED,
  check_variant,
)
from causal_mlr_jax.nn.running_mean import RunningMean

NEEDS: tuple[str, ...] = ()
NEEDS_IN_TRAINING: tuple[str, ...] = ("biased_pairs", "cooccurrence", "labels")
MAPS = Maps(
  ACTIVATION,
  "the logit of the classifier at the position, without its bias",
)
scores = loss_and_scores.scores
first_stage = pooled_classifier.first_stage
SPLITS = ("half", "random")


class Head(nn.Module):
  """The plain classifier with global average pooling, and its training.

  For context channels i, the published code uses the channels C-1-i as the
  complement. That is correct if they are the second half; for a random half
  some channels occur twice and others not at all. 'corrected' uses all others.

  There is no mean before the first image that is not exclusive for any pair.
  Until then the published loss is NaN; here nothing is replaced, and every
  weight is 1.

  A label b may be in several pairs: it is exclusive if it is exclusive for any
  of them, and has the largest of their weights.

  Attributes:
    num_labels: Number of labels N.
    split: Channels that represent context: 'half', the second half; or
      'random', half of them, drawn when the parameters are initialised.
    window: Number of batches that the mean is over.
    min_weight: Smallest weight of a label without its context.
    weighted: Whether such labels have a larger weight.
    variant: 'corrected' or 'published', see above.
    dtype: Dtype of the activations.
  """

  num_labels: int
  split: str = "half"
  window: int = 10
  min_weight: float = 3.0
  weighted: bool = True
  variant: str = CORRECTED
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the options.

    Raises:
      UserError: An option has an unknown value, or the window has no batch.
    """
    check_name("method.split", self.split, SPLITS)
    check_variant(self.variant)
    if self.window < 1:
      raise UserError(
        f"method.window = {self.window}: expected the number of batches that "
        "the mean of the context channels is taken over, at least 1."
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns the plain logits [B, N]; `aux` holds what the loss needs."""
    found = pooled_classifier.PooledClassifier(
      self.num_labels, name="classifier"
    )(features.maps["final"])
    logits_BN = found.logits_BN
    aux = {
      "attention": found.cam_BNP,
      "logits_train": logits_BN,
      "entry_weight": jnp.ones_like(logits_BN),
    }
    if train or self.is_initializing():
      # Also at initialisation, to create the variables.
      channels_S = self._context_channels(found.pooled_BC.shape[-1])
      mean = RunningMean(self.window, name="context_mean")
      if train:
        aux |= self._train(found, channels_S, mean, side)
      else:
        mean(found.pooled_BC[:, channels_S], jnp.zeros(logits_BN.shape[0]))
    return Output(logits_BN, aux)

  def _context_channels(self, channels: int) -> Array:
    """Returns the indices of the context channels, int32 [S].

    They are stored as float32 and rounded, see `RunningMean`.
    """

    def init() -> Array:
      order_C = jnp.arange(channels)
      if self.split == "random":
        order_C = jax.random.permutation(self.make_rng("params"), order_C)
      return order_C[channels // 2 :].astype(jnp.float32)

    kept = self.variable("constants", "context_channels", init)
    return jnp.round(kept.value).astype(jnp.int32)

  def _train(
    self,
    found: pooled_classifier.Classified,
    channels_S: Array,
    mean: RunningMean,
    side: Side,
  ) -> dict[str, Array]:
    """Returns the entries of `aux` that only training has."""
    pooled_BC, logits_BN = found.pooled_BC, found.logits_BN
    pairs_R2 = jnp.asarray(need(side, "biased_pairs"))
    exclusive_BN = exclusive(need(side, "labels"), pairs_R2)
    mean_S, seen = mean(pooled_BC[:, channels_S], ~exclusive_BN.any(1))
    mean_BS = jnp.broadcast_to(mean_S[None], (logits_BN.shape[0], len(mean_S)))
    replaced_BC = pooled_BC.at[:, channels_S].set(mean_BS)
    if self.variant == PUBLISHED:
      taken_C = jnp.zeros(pooled_BC.shape[-1])
      taken_C = taken_C.at[channels_S].add(1)
      taken_C = taken_C.at[len(taken_C) - 1 - channels_S].add(1)
      replaced_BC = replaced_BC * taken_C[None]
    replaced_BN = found.logits_of(replaced_BC)
    weight_N = jnp.ones(self.num_labels)
    if self.weighted:
      counted = need(side, "cooccurrence")
      weight_N = label_weights(counted, pairs_R2, self.min_weight)
    chosen_BN = exclusive_BN & seen
    return {
      "logits_train": jnp.where(chosen_BN, replaced_BN, logits_BN),
      "logits_replaced": replaced_BN,
      "entry_weight": jnp.where(chosen_BN, weight_N[None], 1),
      "context_mean": mean_S,
      "pooled": pooled_BC,
    }


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the mean of the criterion, weighted by example and label."""
  del side
  each_BN = criterion(output.aux["logits_train"], batch["labels"])
  value = (output.aux["entry_weight"] * each_BN).mean()
  return value, {"logits": value}


def exclusive(labels_BN: Array, pairs_R2: Array) -> Array:
  """Returns where a label b appears without its context c, bool [B, N].

  Args:
    labels_BN: Labels, 0 or 1.
    pairs_R2: Indices of the labels (b, c) of each pair, int.
  """
  b_R, c_R = pairs_R2[:, 0], pairs_R2[:, 1]
  alone_BR = labels_BN[:, b_R] * (1 - labels_BN[:, c_R])
  return jnp.zeros_like(labels_BN).at[:, b_R].max(alone_BR) > 0


def label_weights(
  counted: Cooccurrence, pairs_R2: Array, min_weight: float
) -> Array:
  """Returns the weight of each label where it appears without its context, [N].

  The weight of a label b is max(min_weight, √(images with b and c / images with
  b but not c)), that of all other labels 1. A label that never appears without
  its context counts as if it did so once; its weight is not used.

  Args:
    counted: Counts of labels and pairs in the training split.
    pairs_R2: Indices of the labels (b, c) of each pair, int.
    min_weight: Smallest weight of a label b.
  """
  counts_NN, nums_N = (
    jnp.asarray(counted.counts_NN),
    jnp.asarray(counted.nums_N),
  )
  b_R, c_R = pairs_R2[:, 0], pairs_R2[:, 1]
  together_R = counts_NN[b_R, c_R]
  alone_R = jnp.maximum(nums_N[b_R] - together_R, 1)
  weight_R = jnp.maximum(jnp.sqrt(together_R / alone_R), min_weight)
  zeros_N = jnp.zeros_like(nums_N)
  biased_N = zeros_N.at[b_R].set(1) > 0
  return jnp.where(biased_N, zeros_N.at[b_R].max(weight_R), 1)
