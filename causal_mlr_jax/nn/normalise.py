"""Normalisation of pixels to network inputs, on the device."""

from __future__ import annotations

import jax.numpy as jnp

from causal_mlr_jax.core.types import Array


def normalise(
  image: Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> Array:
  """Returns (image - mean) / std, float32 [B, H, W, 3]."""
  mean_111C = jnp.asarray(mean, jnp.float32).reshape(1, 1, 1, 3)
  std_111C = jnp.asarray(std, jnp.float32).reshape(1, 1, 1, 3)
  return (image.astype(jnp.float32) - mean_111C) / std_111C
