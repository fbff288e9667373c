"""The CAM-based method of Singh et al. (CVPR 2020, arXiv:2001.03152).

Where a label b and its context c stand in one image, their class activation
maps are pushed apart, and both are kept near those of the plain classifier
that the training starts from. What the paper leaves open, as the scaling of
the maps, follows its re-implementation for the ML Reproducibility Challenge.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core import parallel
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
from causal_mlr_jax.nn.heads import losses, pooled_classifier

NEEDS: tuple[str, ...] = ()
NEEDS_IN_TRAINING: tuple[str, ...] = ("biased_pairs", "reference")
scores = losses.scores
first_stage = pooled_classifier.first_stage


class Head(nn.Module):
  """The plain classifier with global average pooling; its loss differs.

  A batch in which no pair stands together, and a map that is the same
  everywhere, are NaN in the published code; here they add nothing.

  Attributes:
    num_labels: N.
    overlap_weight: of the overlap of the two maps of a pair.
    reference_weight: of the distance to the first network's maps.
    dtype: of the activations.
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
  """Returns the criterion's mean plus both weighted terms, and the parts.

  Args:
    output: of the head.
    batch: with `labels` [B, N].
    side: `biased_pairs` [R, 2] and `reference`, the output of the first
      network on the same images.
    criterion: loss of each example and label, from logits and labels [B, N].

  Raises:
    UserError: a side input is missing.
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
  """Returns the overlap and the distance to the reference, not weighted.

  Both are means over the images and pairs (b, c) of the global batch whose
  labels b and c are both there, and over positions.

  Args:
    output: of the head.
    batch: with `labels` [B, N].
    side: see `loss`.
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
  # The step takes the mean over devices of what each gives, so a device gives
  # its own sum times their number. The count has no gradient to be summed.
  count = parallel.axis_sum(together_BR.sum())
  scale = parallel.axis_size() / jnp.maximum(count, 1)
  return (
    (together_BR * overlap_BR).sum() * scale,
    (together_BR * distance_BR).sum() * scale,
  )


def cooccurring(labels_BN: Array, pairs_R2: Array) -> Array:
  """Returns in which images both labels of a pair stand, bool [B, R]."""
  return (labels_BN[:, pairs_R2[:, 0]] * labels_BN[:, pairs_R2[:, 1]]) > 0


def pair_maps(cam_BNP: Array, pairs_R2: Array) -> tuple[Array, Array]:
  """Returns the maps [B, R, P] of b and of c, each from 0 to 1.

  Args:
    cam_BNP: class activation maps.
    pairs_R2: (b, c), int.
  """

  def between_0_and_1(x_BRP: Array) -> Array:
    x_BRP = x_BRP - x_BRP.min(-1, keepdims=True)
    top_BR1 = x_BRP.max(-1, keepdims=True)
    # Both sides of `where` are differentiated: neither may divide by 0.
    scaled = x_BRP / jnp.where(top_BR1 > 0, top_BR1, 1)
    return jnp.where(top_BR1 > 0, scaled, 0)

  return (
    between_0_and_1(cam_BNP[:, pairs_R2[:, 0]]),
    between_0_and_1(cam_BNP[:, pairs_R2[:, 1]]),
  )
