"""The loss of a configuration, with its scale."""

from __future__ import annotations

import inspect

import ml_collections

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.types import Criterion

LOSSES = "causal_mlr_jax.losses"
REDUCTIONS = ("mean", "batch_sum", "sum")


def make_criterion(
  section: ml_collections.ConfigDict, batch_size: int, num_labels: int
) -> Criterion:
  """Returns the loss of each example and label, from logits and labels.

  Its mean over a batch is what the configuration asks for: the mean, the sum
  over examples of the mean over labels ('batch_sum'), or the sum over both
  ('sum'), times `scale`. Sums are those of the global batch, so that the
  number of devices does not matter.

  Args:
    section: `loss` of the configuration: `name`, `reduction`, `scale` and the
      fields of this and of other losses.
    batch_size: of the global batch.
    num_labels: N.

  Raises:
    UserError: an unknown loss or reduction.
  """
  function = lookup.module(LOSSES, section.name).loss
  own = list(inspect.signature(function).parameters)[2:]
  fields = {k: v for k, v in section.items() if k in own}
  factors = {"mean": 1, "batch_sum": batch_size, "sum": batch_size * num_labels}
  if section.reduction not in factors:
    raise lookup.unknown_name("loss.reduction", section.reduction, REDUCTIONS)
  factor = section.scale * factors[section.reduction]
  return lambda logits, labels: factor * function(logits, labels, **fields)
