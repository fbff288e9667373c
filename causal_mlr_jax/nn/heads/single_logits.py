"""Loss and scores of the methods that return one array of logits."""

from __future__ import annotations

from collections.abc import Callable

import jax

from causal_mlr_jax.core.types import Array, Batch, Output, Side


def loss(
  output: Output,
  batch: Batch,
  side: Side,
  criterion: Callable[[Array, Array], Array],
) -> tuple[Array, dict[str, Array]]:
  """Returns the criterion's mean over the batch, and the loss terms by name.

  Args:
    output: The method's output.
    batch: A batch with `labels` [B, N].
    side: Not used.
    criterion: Loss of each example and label, from logits and labels [B, N].
  """
  del side
  value = criterion(output.logits, batch["labels"]).mean()
  return value, {"logits": value}


def scores(output: Output) -> Array:
  """Returns probabilities [B, N]."""
  return jax.nn.sigmoid(output.logits)
