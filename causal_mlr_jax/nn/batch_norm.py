"""Batch normalisation compatible with published PyTorch weights.

It differs from `flax.linen.BatchNorm` in three ways: the running variance is
updated with the unbiased batch variance; the statistics are synchronised
whenever the named axis is bound, so that the same module runs inside and
outside of a mapped step; and a layer can be frozen.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import Array


class BatchNorm(nn.Module):
  """Normalises each channel, always in float32.

  Variables: `params` scale [C] and bias [C]; `batch_stats` mean [C] and var
  [C], all float32.
  """

  momentum: float = 0.9  # share of the running statistics kept at each step
  epsilon: float = 1e-5
  axis_name: str | None = None  # mapped axis to synchronise the statistics over
  frozen: bool = False  # use running statistics; scale and bias do not learn
  dtype: jnp.dtype = jnp.float32  # of the result

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Normalises `x` and, in training, updates the running statistics.

    Args:
      x: Activations [..., C].
      train: Whether to use the statistics of the batch, unless frozen.

    Returns:
      Normalised activations [..., C] in `dtype`.
    """
    channels = x.shape[-1]
    scale_C = self.param("scale", nn.initializers.ones, (channels,))
    bias_C = self.param("bias", nn.initializers.zeros, (channels,))
    mean_C = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
    var_C = self.variable("batch_stats", "var", jnp.ones, (channels,))
    if self.frozen:
      scale_C, bias_C = lax.stop_gradient((scale_C, bias_C))

    x = x.astype(jnp.float32)
    if train and not self.frozen:
      mean, var = self._batch_statistics(x, mean_C, var_C)
    else:
      mean, var = mean_C.value, var_C.value

    def spread(v: Array) -> Array:
      return v.reshape((1,) * (x.ndim - 1) + (channels,))

    gain = scale_C * lax.rsqrt(var + self.epsilon)
    y = (x - spread(mean)) * spread(gain) + spread(bias_C)
    return y.astype(self.dtype)

  def _batch_statistics(
    self, x: Array, mean_C: nn.Variable, var_C: nn.Variable
  ) -> tuple[Array, Array]:
    """Returns mean and biased variance, and updates the running statistics."""
    axes = tuple(range(x.ndim - 1))
    devices = parallel.axis_size(self.axis_name)

    def average(v: Array) -> Array:
      v = v.mean(axes, keepdims=True)
      return lax.pmean(v, self.axis_name) if devices > 1 else v

    # Two passes: E[x^2] - E[x]^2 loses precision where the mean is large.
    mean = average(x)
    var = average(jnp.square(x - mean)).reshape(-1)
    mean = mean.reshape(-1)
    if not self.is_initializing() and self.is_mutable_collection("batch_stats"):
      count = x.size // x.shape[-1] * devices
      unbiased = var * (count / max(count - 1, 1))
      mean_C.value = self._moved(mean_C.value, mean)
      var_C.value = self._moved(var_C.value, unbiased)
    return mean, var

  def _moved(self, old: Array, new: Array) -> Array:
    new = jax.lax.stop_gradient(new)
    return self.momentum * old + (1 - self.momentum) * new
