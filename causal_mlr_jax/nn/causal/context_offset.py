"""The part of an image's logits that its confounders alone explain.

The backdoor adjustment fits P(Y | X, c) with the confounders c that are in the
image, and then averages it over P(c). With an additive logit,

  logit_j(X, c) = f_j(X) + h_j(c),

h captures what the context alone explains, and f only what the objects add to
it. Σ_k P(c_k) h_j(c_k) is a constant for each label, which is set to 0.
h is fitted with its own loss. With one loss for both, f and h would share what
either of them can explain, and f would keep some of the context.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array

# The shares are below 1 but must produce log-odds of several units, and Adam
# moves each weight by at most the learning rate. The weights are therefore
# multiplied by this factor.
SCALE = 10.0


class ContextOffset(nn.Module):
  """h_j(π) = w_j · (π − P), with the shares π of confounders in an image."""

  num_labels: int

  @nn.compact
  def __call__(self, share_BK: Array, prior_K: Array) -> tuple[Array, Array]:
    """Returns the offsets h and the logits h + b of the context, both [B, N].

    Args:
      share_BK: Share of each confounder, [B, K] or [1, K].
      prior_K: P(c), at which the offset is 0.
    """
    shape = (len(prior_K), self.num_labels)
    zeros = nn.initializers.zeros
    weight_KN = self.param("weight", zeros, shape)
    bias_N = self.param("bias", zeros, (self.num_labels,))
    centred_BK = share_BK.astype(jnp.float32) - prior_K[None]
    offset_BN = SCALE * centred_BK @ weight_KN
    return offset_BN, offset_BN + bias_N[None]
