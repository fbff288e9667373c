"""Bilinear resizing with aligned corners, which `jax.image` does not have."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.types import Array


def resize_aligned(map_BHWC: Array, grid: tuple[int, ...]) -> Array:
  """Resizes a map bilinearly with aligned corners.

  Args:
    map_BHWC: A feature map.
    grid: Height H' and width W' of the result.

  Returns:
    A map [B, H', W', C] of the same dtype.
  """
  height, width = map_BHWC.shape[1:3]
  dtype = map_BHWC.dtype
  # The axes are resized in turn; an axis of the right length is skipped.
  if height != grid[0]:
    rows = jnp.asarray(aligned_matrix(height, grid[0]), dtype)
    map_BHWC = jnp.einsum("IH,BHWC->BIWC", rows, map_BHWC)
  if width != grid[1]:
    columns = jnp.asarray(aligned_matrix(width, grid[1]), dtype)
    map_BHWC = jnp.einsum("JW,BHWC->BHJC", columns, map_BHWC)
  return map_BHWC


def aligned_matrix(length: int, target: int) -> np.ndarray:
  """Returns the matrix [target, length] that resizes one axis, float32.

  Its rows sum to 1. If the target length is 1, it takes the first position.
  """
  place = np.arange(target) * ((length - 1) / max(target - 1, 1))
  distance = np.abs(place[:, None] - np.arange(length)[None])
  return np.maximum(1 - distance, 0).astype(np.float32)
