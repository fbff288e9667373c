"""The plain multi-label classifier: global pooling and one linear layer.

It is the "Baseline" row of the paper's tables; Singh et al. 2020 call it
"standard".
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import (
  ACTIVATION,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.pooled_classifier import PooledClassifier

NEEDS: tuple[str, ...] = ()
MAPS = Maps(
  ACTIVATION,
  "the logit of the classifier at the position, without its bias",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores


class Head(nn.Module):
  """Pools the final map and classifies it.

  Attributes:
    num_labels: Number of labels N.
    pooling: 'gap' (average) or 'gmp' (maximum).
    dtype: Dtype of the activations.
  """

  num_labels: int
  pooling: str = "gap"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N] and, in `aux`, class activation maps [B, N, P]."""
    del side, train
    found = PooledClassifier(self.num_labels, self.pooling, name="classifier")(
      features.maps["final"]
    )
    return Output(found.logits_BN, {"attention": found.cam_BNP})
