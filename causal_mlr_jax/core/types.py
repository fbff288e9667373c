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
# Arrays by name. Always `image` uint8 [B, H, W, 3], `labels` float32 [B, N],
# `mask` float32 [B] (0 marks padding) and `index` int32 [B] (the example's
# place in its split); per-example side inputs stand beside them.
Batch = Mapping[str, Array]
# Side inputs of a method by name, see the method's `NEEDS`.
Side = Mapping[str, Any]
# From logits and labels [B, N] to the loss of each example and label [B, N].
Criterion = Callable[[Array, Array], Array]
# What a method trains on: the loss, and its parts by name for the logs.
Losses = tuple[Array, dict[str, Array]]


class Features(NamedTuple):
  """What a backbone returns.

  Attributes:
    maps: stage name to feature map [B, H, W, C]; the last one is `final`.
    pooled: global average of the final map [B, C].
  """

  maps: Mapping[str, Array]
  pooled: Array


class Output(NamedTuple):
  """What a method returns.

  Attributes:
    logits: final logits [B, N]; their sigmoid is the method's score.
    aux: everything else worth keeping, by name: logits of single heads,
      `attention` maps [B, N, P].
  """

  logits: Array
  aux: Mapping[str, Any]


class Confounders(NamedTuple):
  """Confounders of a training set, frozen.

  Attributes:
    centres_KC: one feature vector a confounder, float32.
    prior_K: P(c), non-negative, sums to 1.
  """

  centres_KC: Array
  prior_K: Array


class Cooccurrence(NamedTuple):
  """How often labels stand together in a training set.

  Attributes:
    counts_NN: images with both labels, float32; the diagonal is 0.
    nums_N: images with each label, float32.
  """

  counts_NN: Array
  nums_N: Array

  def conditional(self) -> Array:
    """Returns P(column | row) [N, N], 0 in the row of an absent label."""
    nums_N1 = self.nums_N[:, None]
    return self.counts_NN / jax.numpy.maximum(nums_N1, 1)
