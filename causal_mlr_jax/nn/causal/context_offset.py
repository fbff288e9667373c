"""What the confounders of an image alone say of its labels.

The backdoor sum asks for P(Y | X, c) with the confounders c that were there,
and averages it over P(c) afterwards. With an additive logit,

  logit_j(X, c) = f_j(X) + h_j(c),

h carries what the context alone explains, so that f is left with what the
objects add to it; and Σ_k P(c_k) h_j(c_k) is a constant a label, taken as 0.
h is fitted by a loss of its own. Were it trained with f by one loss, the two
would share what either can explain, and f would keep some of the context.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array

# Shares lie below 1 while log-odds of several units must be reached, and Adam
# moves each weight by the learning rate at most: the weights are this much
# smaller than what they stand for.
SCALE = 10.0


class ContextOffset(nn.Module):
  """h_j(π) = w_j · (π − P) of the shares π of the confounders in an image."""

  num_labels: int

  @nn.compact
  def __call__(self, share_BK: Array, prior_K: Array) -> tuple[Array, Array]:
    """Returns the offsets h and the logits h + b of the context, both [B, N].

    Args:
      share_BK: share of each confounder, [B, K] or [1, K].
      prior_K: P(c), at which the offset is 0.
    """
    shape = (len(prior_K), self.num_labels)
    zeros = nn.initializers.zeros
    weight_KN = self.param("weight", zeros, shape)
    bias_N = self.param("bias", zeros, (self.num_labels,))
    centred_BK = share_BK.astype(jnp.float32) - prior_K[None]
    offset_BN = SCALE * centred_BK @ weight_KN
    return offset_BN, offset_BN + bias_N[None]
