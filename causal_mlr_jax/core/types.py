"""The dimension key and the values that pass between layers.

Dimension key, used in names (`logits_BN`), comments and einsums:

  B  batch          H, W  grid            P  positions, H * W
  C  channels       N     labels          D  embedding
  K  confounders    A     attention heads F  feed-forward width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
# Nested mapping of arrays: parameters, statistics, gradients.
Tree = Any
# Arrays by name. Every batch has `image` uint8 [B, H, W, 3], `labels` float32
# [B, N], `mask` float32 [B] (0 marks padding) and `index` int32 [B] (the
# example's index in its split), and any per-example side inputs.
Batch = Mapping[str, Array]
# Side inputs of a method by name; see the method's `NEEDS`.
Side = Mapping[str, Any]
# From logits and labels [B, N] to the loss of each example and label [B, N].
Criterion = Callable[[Array, Array], Array]
# What a method trains on: the loss, and its parts by name for the logs.
Losses = tuple[Array, dict[str, Array]]


class Features(NamedTuple):
  """What a backbone returns.

  Attributes:
    maps: Feature maps [B, H, W, C] by stage name; the last one is `final`.
    pooled: Global average of the final map [B, C].
  """

  maps: Mapping[str, Array]
  pooled: Array


class Output(NamedTuple):
  """What a method returns.

  Attributes:
    logits: Final logits [B, N]; their sigmoid is the method's score.
    aux: Other outputs by name, such as the logits of single heads or the
      `attention` maps [B, N, P].
  """

  logits: Array
  aux: Mapping[str, Any]


class Confounders(NamedTuple):
  """Confounders of a training set, which are not trained.

  Attributes:
    centres_KC: One feature vector per confounder, float32.
    prior_K: P(c); non-negative, sums to 1.
  """

  centres_KC: Array
  prior_K: Array


class Cooccurrence(NamedTuple):
  """How often labels occur together in a training set.

  Attributes:
    counts_NN: Number of images with both labels, float32; the diagonal is 0.
    nums_N: Number of images with each label, float32.
  """

  counts_NN: Array
  nums_N: Array

  def conditional(self) -> Array:
    """Returns P(column | row) [N, N]; the row of an absent label is 0."""
    nums_N1 = self.nums_N[:, None]
    return self.counts_NN / jax.numpy.maximum(nums_N1, 1)
