"""Losses and scores that methods share."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from causal_mlr_jax.core.types import (
  Array,
  Batch,
  Criterion,
  Losses,
  Output,
  Side,
)


def loss(
  output: Output, batch: Batch, side: Side, criterion: Criterion
) -> Losses:
  """Returns the criterion's mean over the batch, of one array of logits.

  Args:
    output: Output of the method.
    batch: Batch with `labels` [B, N].
    side: Not used.
    criterion: Loss of each example and label.
  """
  del side
  value = criterion(output.logits, batch["labels"]).mean()
  return value, {"logits": value}


def summed_loss(
  logits: Mapping[str, Array],
  batch: Batch,
  criterion: Criterion,
  weights: Mapping[str, float] | None = None,
) -> Losses:
  """Returns the weighted sum of the criterion's means over several logits.

  Args:
    logits: Logits [B, N] by the name of their part; the sum has their order.
    batch: Batch with `labels` [B, N].
    criterion: Loss of each example and label.
    weights: Weight of each part, 1 by default. The parts returned are not
      weighted.
  """
  parts = {
    name: criterion(logits_BN, batch["labels"]).mean()
    for name, logits_BN in logits.items()
  }
  weighted = [(weights or {}).get(name, 1) * x for name, x in parts.items()]
  return sum(weighted[1:], start=weighted[0]), parts


def scores(output: Output) -> Array:
  """Returns probabilities [B, N]."""
  return jax.nn.sigmoid(output.logits)
