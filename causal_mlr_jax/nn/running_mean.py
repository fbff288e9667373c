"""The mean of a feature over the images of the most recent batches."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import Array


class RunningMean(nn.Module):
  """Keeps the sum and the image count of each of the last `window` batches.

  All images have the same weight, whichever batch they were in. The variables
  are in the collection `running`: sums [window, C], counts [window] and cursor
  [], the index at which the next batch is written. The cursor is float32
  because training averages all variables and expects floats. Its average is
  never read: only training reads this collection.

  Attributes:
    window: Number of batches.
  """

  window: int

  @nn.compact
  def __call__(self, x_BC: Array, keep_B: Array) -> tuple[Array, Array]:
    """Adds a batch and returns the mean, without a gradient.

    Where the mapped axis is bound, the batch is the global one. It is stored
    only if the collection is mutable.

    Args:
      x_BC: Feature vectors.
      keep_B: 1 for the images that count, 0 for the others. A batch without
        images that count is stored with a count of 0.

    Returns:
      The mean [C] (0 before any image has counted), and whether one has, [].
    """
    channels = x_BC.shape[-1]
    sums = self.variable("running", "sums", jnp.zeros, (self.window, channels))
    counts = self.variable("running", "counts", jnp.zeros, (self.window,))
    cursor = self.variable("running", "cursor", jnp.zeros, ())
    keep_B = keep_B.astype(jnp.float32)
    kept_BC = jax.lax.stop_gradient(x_BC) * keep_B[:, None]
    sum_C, count = parallel.axis_sum((kept_BC.sum(0), keep_B.sum()))
    place = jnp.round(cursor.value).astype(jnp.int32)
    sums_WC = jnp.asarray(sums.value).at[place].set(sum_C)
    counts_W = jnp.asarray(counts.value).at[place].set(count)
    if not self.is_initializing() and self.is_mutable_collection("running"):
      sums.value, counts.value = sums_WC, counts_W
      cursor.value = ((place + 1) % self.window).astype(jnp.float32)
    total = counts_W.sum()
    return sums_WC.sum(0) / jnp.maximum(total, 1), total > 0
