"""Binary cross-entropy."""

from __future__ import annotations

import optax

from causal_mlr_jax.core.types import Array


def loss(logits_BN: Array, labels_BN: Array) -> Array:
  """Returns the cross-entropy of each example and label, [B, N].

  Its mean over both axes equals PyTorch's MultiLabelSoftMarginLoss.
  """
  return optax.sigmoid_binary_cross_entropy(logits_BN, labels_BN)
