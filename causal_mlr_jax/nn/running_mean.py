"""The mean of a feature over the images of the last batches."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import Array


class RunningMean(nn.Module):
  """Keeps the sum and the count of each of the last batches.

  Images count alike, whichever batch they were in. Variables, collection
  `running`: sums [window, C], counts [window], and cursor [], the place of
  the next batch. The cursor is float32, as a training that averages its
  variables expects of all of them; an averaged one is never read, for
  nothing but training reads this collection.

  Attributes:
    window: number of batches.
  """

  window: int

  @nn.compact
  def __call__(self, x_BC: Array, keep_B: Array) -> tuple[Array, Array]:
    """Adds a batch and takes the mean; it has no gradient.

    The batch is that of all devices where the mapped axis is bound. It stays
    only where the collection is mutable.

    Args:
      x_BC: feature vectors.
      keep_B: 1 for the images that count, 0 for the others. A batch of
        others alone takes its place with a count of 0.

    Returns:
      The mean [C], 0 where no image has been seen, and whether one has, [].
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
