"""Binary cross-entropy, the mean over labels."""

from __future__ import annotations

import optax

from causal_mlr_jax.core.types import Array


def loss(logits_BN: Array, labels_BN: Array) -> Array:
  """Returns the cross-entropy of each example [B], averaged over labels.

  Equal to torch's MultiLabelSoftMarginLoss without its mean over the batch.
  """
  return optax.sigmoid_binary_cross_entropy(logits_BN, labels_BN).mean(-1)
