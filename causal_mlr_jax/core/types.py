"""The dimension key and the values that pass between layers.

Dimension key, used in names (`logits_BN`), comments and einsums:

  B  batch          H, W  grid            P  positions, H * W
  C  channels       N     labels          D  embedding
  K  confounders    A     attention heads F  feed-forward width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array
# On the devices, or still on the host.
AnyArray = jax.Array | np.ndarray
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


class Maps(NamedTuple):
  """What a method's `attention` [B, N, P] is.

  Attributes:
    kind: `ATTENTION` or `ACTIVATION`.
    meaning: What a value at a position is, in a sentence.
  """

  kind: str
  meaning: str


# Weights: not negative, with a sum of at most 1 over the positions.
ATTENTION = "attention"
# Logits of a classifier at each position, of any sign.
ACTIVATION = "class activation"


class Confounders(NamedTuple):
  """Confounders of a training set, which are not trained.

  Attributes:
    centres_KC: One feature vector per confounder, float32.
    prior_K: P(c); non-negative, sums to 1.
  """

  centres_KC: AnyArray
  prior_K: AnyArray


class Cooccurrence(NamedTuple):
  """How often labels occur together in a training set.

  Attributes:
    counts_NN: Number of images with both labels, float32; the diagonal is 0.
    nums_N: Number of images with each label, float32.
  """

  counts_NN: AnyArray
  nums_N: AnyArray

  def conditional(self) -> Array:
    """Returns P(column | row) [N, N]; the row of an absent label is 0."""
    nums_N1 = self.nums_N[:, None]
    return jax.numpy.divide(self.counts_NN, jax.numpy.maximum(nums_N1, 1))


class Method(Protocol):
  """A module of `methods`.

  Some also have `NEEDS_IN_TRAINING`, side inputs of training alone;
  `first_stage`, see `TwoStageMethod`; `PARTS`, names of parts that predict the
  labels by themselves, with logits [B, N] in `aux["logits_NAME"]`; or `shares`,
  how much of the probability each part gives.

  Attributes:
    NEEDS: Side inputs, by name.
    MAPS: What `aux["attention"]` [B, N, P] is.
    Head: Class of its Flax module, from `Features` to `Output`.
  """

  NEEDS: tuple[str, ...]
  MAPS: Maps
  Head: Callable[..., Any]

  def loss(
    self, output: Output, batch: Batch, side: Side, criterion: Criterion
  ) -> Losses:
    """Returns the loss of a batch, and its parts by name.

    Args:
      output: Output of the head.
      batch: Batch with `labels` [B, N].
      side: Side inputs, with `NEEDS`.
      criterion: Loss of each example and label.
    """
    ...

  def scores(self, output: Output) -> Array:
    """Returns the scores [B, N], from 0 to 1."""
    ...


class TwoStageMethod(Method, Protocol):
  """A method that starts from a trained network."""

  def first_stage(self, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the method that is trained first, and its head's fields.

    Args:
      fields: Fields of the head of the method itself.
    """
    ...
