"""Schedules of the learning rate and of momentum by step."""

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
  """Goes from `first` to `middle` to `last`, each time along half a cosine.

  As in PyTorch's OneCycleLR, the value is `first` at step 0, `middle` at step
  turn * steps - 1 (which may be fractional) and `last` at the last step,
  steps - 1. (The schedule in optax turns and ends one step later.)

  Args:
    steps: Total number of training steps, at least 2.
    turn: Fraction of the steps before `middle`, in [0, 1).
    first: Value at the start; skipped where turn * steps is below 1.
    middle: Value at the turn.
    last: Value at the end and afterwards.
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
  """Multiplies a rate by a factor at given points of the training.

  Args:
    rate: Value at the start.
    steps: Total number of training steps.
    at: Fractions of the steps, in [0, 1]; each is rounded to a whole step,
      which is the first with the new rate.
    factor: Factor by which the rate is multiplied each time.
  """
  bounds = np.asarray([round(part * steps) for part in at])

  def schedule(count: Any) -> Array:
    passed = jnp.sum(jnp.asarray(count) >= bounds)
    return rate * jnp.float32(factor) ** passed

  return schedule


def _half_cosine(start: float, end: float, part: Array | float) -> Array:
  part = jnp.clip(part, 0, 1)
  return end + (start - end) / 2 * (1 + jnp.cos(jnp.pi * part))
