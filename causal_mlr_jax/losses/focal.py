"""Focal loss (Lin et al. 2017, arXiv:1708.02002)."""

from __future__ import annotations

import optax

from causal_mlr_jax.core.types import Array


def loss(
  logits_BN: Array,
  labels_BN: Array,
  *,
  alpha: float | None = 0.25,
  gamma: float = 2.0,
) -> Array:
  """Returns the focal loss of each example and label, [B, N].

  Args:
    logits_BN: logits.
    labels_BN: Labels, 0 or 1.
    alpha: Weight of positives; negatives have 1 - alpha. None weights neither.
    gamma: Exponent of the focusing weight.
  """
  return optax.sigmoid_focal_loss(
    logits_BN, labels_BN, alpha=alpha, gamma=gamma
  )
