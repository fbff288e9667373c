"""Values as functions of the step, for the learning rate and momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from causal_mlr_jax.core.types import Array


def two_phases(
  steps: int, turn: float, first: float, middle: float, last: float
) -> optax.Schedule:
  """Goes from `first` to `middle` to `last`, each way along half a cosine.

  The form of PyTorch's OneCycleLR: step 0 has `first`, step turn * steps - 1,
  whole or not, has `middle`, and the last step, steps - 1, has `last`. (That
  of optax turns and ends one step later.)

  Args:
    steps: of the whole training, at least 2.
    turn: part of the steps before `middle`, in [0, 1).
    first: value at the start; skipped where turn * steps is below 1.
    middle: value at the turn.
    last: value at the end and from there on.
  """
  peak, end = turn * steps - 1, steps - 1

  def schedule(count: Any) -> Array:
    rise = _half_cosine(first, middle, count / max(peak, 1e-6))
    fall = _half_cosine(middle, last, (count - peak) / (end - peak))
    return jnp.where(jnp.asarray(count) < peak, rise, fall)

  return schedule


def in_steps(
  rate: float, steps: int, at: Sequence[float], factor: float
) -> optax.Schedule:
  """Multiplies a rate by a factor at some parts of the training.

  Args:
    rate: value at the start.
    steps: of the whole training.
    at: parts of the steps, in [0, 1], each rounded to a whole step, which is
      the first with the new rate.
    factor: of the rate before.
  """
  bounds = np.asarray([round(part * steps) for part in at])

  def schedule(count: Any) -> Array:
    passed = jnp.sum(jnp.asarray(count) >= bounds)
    return rate * jnp.float32(factor) ** passed

  return schedule


def _half_cosine(start: float, end: float, part: Array | float) -> Array:
  part = jnp.clip(part, 0, 1)
  return end + (start - end) / 2 * (1 + jnp.cos(jnp.pi * part))
