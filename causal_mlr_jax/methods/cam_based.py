"""The CAM-based method of Singh et al. (CVPR 2020, arXiv:2001.03152).

Where a label b and its context c appear in one image, the loss pushes their
class activation maps apart, and keeps both close to those of the plain
classifier that training starts from. Details that the paper leaves open, such
as the scaling of the maps, follow its re-implementation for the ML
Reproducibility Challenge.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.side_inputs import need
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
from causal_mlr_jax.nn.heads import loss_and_scores, pooled_classifier

NEEDS: tuple[str, ...] = ()
NEEDS_IN_TRAINING: tuple[str, ...] = ("biased_pairs", "reference")
MAPS = Maps(
  ACTIVATION,
  "the logit of the classifier at the position, without its bias",
)
scores = loss_and_scores.scores
first_stage = pooled_classifier.first_stage


class Head(nn.Module):
  """The plain classifier with global average pooling; only its loss differs.

  In the published code a batch without any co-occurring pair, and a constant
  map, give NaN; here they add nothing to the loss.

  Attributes:
    num_labels: Number of labels N.
    overlap_weight: Weight of the overlap of the two maps of a pair.
    reference_weight: Weight of the distance to the first network's maps.
    dtype: Dtype of the activations.
  """

  num_labels: int
  overlap_weight: float = 0.1
  reference_weight: float = 0.01
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N] and, in `aux`, class activation maps [B, N, P]."""
    del side, train
    found = pooled_classifier.PooledClassifier(
      self.num_labels, name="classifier"
    )(features.maps["final"])
    weights = (self.overlap_weight, self.reference_weight)
    aux = {"attention": found.cam_BNP, "loss_weights": weights}
    return Output(found.logits_BN, aux)


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the criterion's mean plus both weighted terms, and all by name.

  Args:
    output: The head's output.
    batch: A batch with `labels` [B, N].
    side: `biased_pairs` [R, 2] and `reference`, the output of the first
      network on the same images.
    criterion: Loss of each example and label, from logits and labels [B, N].

  Raises:
    UserError: A side input is missing.
  """
  overlap, distance = terms(output, batch, side)
  overlap_weight, reference_weight = output.aux["loss_weights"]
  parts: dict[str, Array] = {
    "logits": criterion(output.logits, batch["labels"]).mean(),
    "overlap": overlap_weight * overlap,
    "reference": reference_weight * distance,
  }
  return sum(parts.values(), jnp.float32(0)), parts


def terms(output: Output, batch: Batch, side: Side) -> tuple[Array, Array]:
  """Returns the overlap and the distance to the reference, without weights.

  Both are means over positions, and over the images and pairs (b, c) of the
  global batch in which the image has both labels.

  Args:
    output: The head's output.
    batch: A batch with `labels` [B, N].
    side: See `loss`.
  """
  pairs_R2 = jnp.asarray(need(side, "biased_pairs"))
  reference_BNP = need(side, "reference").aux["attention"]
  together_BR = cooccurring(batch["labels"], pairs_R2).astype(jnp.float32)
  maps = pair_maps(output.aux["attention"], pairs_R2)
  wanted = jax.lax.stop_gradient(pair_maps(reference_BNP, pairs_R2))
  overlap_BR = (maps[0] * maps[1]).mean(-1)
  distance_BR = sum(
    jnp.abs(ours - theirs).mean(-1) / 2
    for ours, theirs in zip(maps, wanted, strict=True)
  )
  # The training step averages the losses of all devices, so each device returns
  # its own sum times their number. The count needs no gradient.
  count = parallel.axis_sum(together_BR.sum())
  scale = parallel.axis_size() / jnp.maximum(count, 1)
  return (
    (together_BR * overlap_BR).sum() * scale,
    (together_BR * distance_BR).sum() * scale,
  )


def cooccurring(labels_BN: Array, pairs_R2: Array) -> Array:
  """Returns which images have both labels of each pair, bool [B, R]."""
  return (labels_BN[:, pairs_R2[:, 0]] * labels_BN[:, pairs_R2[:, 1]]) > 0


def pair_maps(cam_BNP: Array, pairs_R2: Array) -> tuple[Array, Array]:
  """Returns the maps [B, R, P] of b and of c, each scaled to [0, 1].

  Args:
    cam_BNP: Class activation maps.
    pairs_R2: Indices of the labels (b, c) of each pair, int.
  """

  def between_0_and_1(x_BRP: Array) -> Array:
    x_BRP = x_BRP - x_BRP.min(-1, keepdims=True)
    top_BR1 = x_BRP.max(-1, keepdims=True)
    # `where` differentiates both branches, so neither may divide by 0.
    scaled = x_BRP / jnp.where(top_BR1 > 0, top_BR1, 1)
    return jnp.where(top_BR1 > 0, scaled, 0)

  return (
    between_0_and_1(cam_BNP[:, pairs_R2[:, 0]]),
    between_0_and_1(cam_BNP[:, pairs_R2[:, 1]]),
  )
