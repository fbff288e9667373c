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

  The loss is scaled so that its mean over a batch is `scale` times the
  configured reduction: the mean ('mean'), the sum over examples of the mean
  over labels ('batch_sum'), or the sum over both ('sum'). Sums are over the
  global batch, so the number of devices does not matter.

  Args:
    section: Section `loss` of the configuration: `name`, `reduction`, `scale`
      and the fields of this and other losses.
    batch_size: Size of the global batch.
    num_labels: Number of labels N.

  Raises:
    UserError: The loss or reduction is unknown.
  """
  function = lookup.module(LOSSES, section.name).loss
  own = list(inspect.signature(function).parameters)[2:]
  fields = {k: v for k, v in section.items() if k in own}
  factors = {"mean": 1, "batch_sum": batch_size, "sum": batch_size * num_labels}
  if section.reduction not in factors:
    raise lookup.unknown_name("loss.reduction", section.reduction, REDUCTIONS)
  factor = section.scale * factors[section.reduction]
  return lambda logits, labels: factor * function(logits, labels, **fields)
