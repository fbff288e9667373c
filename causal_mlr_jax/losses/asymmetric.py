"""Asymmetric loss (Ridnik et al. 2021, arXiv:2009.14119).

L = -y (1-p)^γ₊ log p - (1-y) p_m^γ₋ log(1-p_m), where p is the probability
and p_m = max(p - clip, 0) is the shifted probability for negatives.

Its scale differs in published code: the paper sums over labels and images
(`loss.reduction='sum'`); Query2Label and CCD use 1000 times the mean
(`loss.reduction='mean'`, `loss.scale=1000`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array


def loss(
  logits_BN: Array,
  labels_BN: Array,
  *,
  gamma_positive: float = 0.0,
  gamma_negative: float = 2.0,
  clip: float = 0.0,
  focusing_gradient: bool = False,
  eps: float = 0.0,
  clamp_above: bool = False,
) -> Array:
  """Returns the asymmetric loss of each example and label, [B, N].

  The log-sigmoid is computed in one step, so large logits keep an exact loss
  and gradient.

  Args:
    logits_BN: logits.
    labels_BN: Labels, 0 or 1.
    gamma_positive: Exponent γ₊ of the focusing weight of positives.
    gamma_negative: Exponent γ₋ of the focusing weight of negatives.
    clip: Shift of the probability of negatives; a negative with a probability
      below it has no loss.
    focusing_gradient: Whether the focusing weights are differentiated.
    eps: Clamps logarithms to log(max(p, eps)), as published code does, which
      removes the gradient of the worst mistakes; 0 does not clamp.
    clamp_above: Whether to clamp at 1 - eps too, as Query2Label's unscaled
      class does.
  """
  log_p = jax.nn.log_sigmoid(logits_BN)
  log_q = jax.nn.log_sigmoid(-logits_BN)
  weight_p = _exp(log_q, gamma_positive)
  weight_n = _exp(log_p, gamma_negative)
  if clip > 0:
    log_q = jnp.log(jnp.minimum(jax.nn.sigmoid(-logits_BN) + clip, 1.0))
    shifted = jnp.maximum(jax.nn.sigmoid(logits_BN) - clip, 0.0)
    weight_n = _power(shifted, gamma_negative)
  log_p, log_q = (_clamp(x, eps, clamp_above) for x in (log_p, log_q))
  if not focusing_gradient:
    weight_p, weight_n = jax.lax.stop_gradient((weight_p, weight_n))
  positive = labels_BN * weight_p * log_p
  return -positive - (1 - labels_BN) * weight_n * log_q


def _exp(log_base: Array, exponent: float) -> Array:
  """Returns base^exponent; its gradient is finite for every exponent."""
  return jnp.exp(exponent * log_base)


def _power(base: Array, exponent: float) -> Array:
  """Returns base^exponent for a base that may be 0."""
  # For exponents below 1 the derivative at base 0 is not finite.
  zero = base == 0
  power = jnp.where(zero, 1.0, base) ** exponent
  return jnp.where(zero, 1.0 if exponent == 0 else 0.0, power)


def _clamp(log_probability: Array, eps: float, above: bool) -> Array:
  if eps == 0:
    return log_probability
  clamped = jnp.maximum(log_probability, jnp.log(eps))
  return jnp.minimum(clamped, jnp.log1p(-eps)) if above else clamped
