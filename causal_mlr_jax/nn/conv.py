"""Convolutions and pooling with the padding of published weights.

Pointwise convolutions are computed as matrix products and, on the CPU,
depthwise ones as a sum of shifted products: XLA's own CPU kernels are many
times slower (for pointwise convolutions in the backward pass, for depthwise
ones in both passes).
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.types import Array

# (before, after) for each of the two grid axes.
Pads = tuple[tuple[int, int], tuple[int, int]]
# A symmetric width, or as many as make the output ceil(grid / stride).
Padding = int | Literal["SAME"]
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
kaiming_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def resolve_padding(
  padding: Padding, size: int, stride: int, grid: tuple[int, ...]
) -> Pads:
  """Returns the number of zeros to add before and after each grid axis.

  Args:
    padding: Number of zeros on each side, or "SAME": as many as make the output
      ceil(grid / stride), with an odd one added after.
    size: Side of the kernel.
    stride: Stride of the kernel.
    grid: Height and width of the input.
  """
  if padding != "SAME":
    return ((padding, padding), (padding, padding))

  def pads(length: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2

  return pads(grid[0]), pads(grid[1])


class Conv(nn.Module):
  """A square convolution; its `kernel` is [k, k, C_in, C_out]."""

  features: int
  kernel_size: int
  stride: int = 1
  padding: Padding | None = None  # zeros a side or "SAME"; None: k // 2
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32
  kernel_init: nn.initializers.Initializer = kaiming_fan_out

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, H, W, C_in] to [B, H', W', features]."""
    k, stride = self.kernel_size, self.stride
    padding = k // 2 if self.padding is None else self.padding
    shape = (k, k, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
    x = x.astype(self.dtype)
    pads = resolve_padding(padding, k, stride, x.shape[1:3])
    if k == 1 and not any(map(any, pads)):
      # Slice first, to compute the product only for the positions kept.
      x = x[:, ::stride, ::stride] @ kernel[0, 0]
    else:
      x = lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=DIMENSIONS
      )
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      x += bias.astype(self.dtype).reshape(1, 1, 1, -1)
    return x


class DepthwiseConv(nn.Module):
  """A square convolution per channel; its `kernel` is [k, k, 1, C]."""

  kernel_size: int
  stride: int = 1
  padding: Padding | None = None  # zeros a side or "SAME"; None: k // 2
  dtype: jnp.dtype = jnp.float32
  kernel_init: nn.initializers.Initializer = kaiming_fan_out

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, H, W, C] to [B, H', W', C]."""
    k = self.kernel_size
    padding = k // 2 if self.padding is None else self.padding
    kernel = self.param("kernel", self.kernel_init, (k, k, 1, x.shape[-1]))
    pads = resolve_padding(padding, k, self.stride, x.shape[1:3])
    return depthwise(
      x.astype(self.dtype), kernel.astype(self.dtype), self.stride, pads
    )


def depthwise(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
  """Convolves each channel with its own kernel.

  Args:
    x: Activations [B, H, W, C].
    kernel: Weights [k, k, 1, C].
    stride: Stride of the kernel.
    pads: Number of zeros before and after each grid axis.

  Returns:
    Activations [B, H', W', C].
  """
  return lax.platform_dependent(
    x,
    kernel,
    cpu=lambda x, kernel: _shifted_sum(x, kernel, stride, pads),
    default=lambda x, kernel: _grouped(x, kernel, stride, pads),
  )


def _grouped(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    pads,
    dimension_numbers=DIMENSIONS,
    feature_group_count=x.shape[-1],
  )


def _shifted_sum(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
  """Adds the input, shifted and scaled, once for every kernel position."""
  k = kernel.shape[0]
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  # Last offset of the window's corner, by axis.
  last_H, last_W = x.shape[1] - k, x.shape[2] - k
  total = None
  for i in range(k):
    for j in range(k):
      window = x[:, i : i + last_H + 1 : stride, j : j + last_W + 1 : stride]
      term = window * kernel[i, j].reshape(1, 1, 1, -1)
      total = term if total is None else total + term
  assert total is not None  # a kernel has a position
  return total


def max_pool(x: Array, size: int, stride: int, padding: int) -> Array:
  """Returns the largest value of each window; padding counts as -inf.

  Args:
    x: Activations [B, H, W, C].
    size: Side of the window.
    stride: Stride of the window.
    padding: Number of positions added on every side.

  Returns:
    Activations [B, H', W', C].
  """
  # XLA makes one op of both. Widths given to the pool, jax2onnx would ignore.
  pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  padded = jnp.pad(x, pads, constant_values=-jnp.inf)
  window = {"window_shape": (size, size), "strides": (stride, stride)}
  return nn.max_pool(padded, **window, padding="VALID")
