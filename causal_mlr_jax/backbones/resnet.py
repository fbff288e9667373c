"""ResNet-18, 50 and 101, "v1.5": the stride is on the 3x3 convolution.

He et al., Deep Residual Learning for Image Recognition (arXiv:1512.03385);
padding, batch normalisation and names follow the published PyTorch weights.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import check_name, unknown_name
from causal_mlr_jax.core.types import Array, Features
from causal_mlr_jax.nn.batch_norm import BatchNorm
from causal_mlr_jax.nn.conv import Conv, max_pool

# Input of the published weights: (image - MEAN) / STD, image in 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

# depth: block, blocks a stage
DEPTHS = {
  18: ("basic", (2, 2, 2, 2)),
  50: ("bottleneck", (3, 4, 6, 3)),
  101: ("bottleneck", (3, 4, 23, 3)),
}
EXPANSION = {"basic": 1, "bottleneck": 4}
# stem: kernel size, stride, whether a 3x3 stride-2 max-pooling follows
STEMS = {
  "imagenet": (7, 2, True),
  "small": (3, 2, False),
  "tiny": (3, 1, False),
}


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1."""

  kind: str  # "basic" or "bottleneck"
  width: int
  stride: int
  frozen_batch_norm: bool
  axis_name: str | None
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps [B, H, W, C_in] to [B, H / stride, W / stride, C_out]."""

    def conv(name: str, features: int, size: int, stride: int = 1) -> Conv:
      return Conv(features, size, stride, dtype=self.dtype, name=name)

    def norm(name: str, y: Array) -> Array:
      layer = batch_norm(self, name)
      return layer(y, train=train)

    width, stride = self.width, self.stride
    out = width * EXPANSION[self.kind]
    if self.kind == "basic":
      y = nn.relu(norm("bn1", conv("conv1", width, 3, stride)(x)))
      y = norm("bn2", conv("conv2", out, 3)(y))
    else:
      y = nn.relu(norm("bn1", conv("conv1", width, 1)(x)))
      y = nn.relu(norm("bn2", conv("conv2", width, 3, stride)(y)))
      y = norm("bn3", conv("conv3", out, 1)(y))
    if stride != 1 or x.shape[-1] != out:
      x = conv("downsample_conv", out, 1, stride)(x)
      x = norm("downsample_bn", x)
    return nn.relu(x + y)


class Backbone(nn.Module):
  """A residual network without its classifier."""

  depth: int = 50  # 18, 50 or 101
  stage_sizes: tuple[int, ...] | None = None  # blocks a stage; None: by depth
  block: str | None = None  # "basic" or "bottleneck"; None: by depth
  width: int = 64  # channels of the stem and of the first stage's blocks
  stem: str = "imagenet"  # or "small", "tiny", for small images; see STEMS
  frozen_batch_norm: bool = False  # running statistics only, nothing learned
  axis_name: str | None = None  # axis to synchronise batch statistics over
  dtype: jnp.dtype = jnp.float32  # of the activations

  @nn.compact
  def __call__(self, image: Array, *, train: bool) -> Features:
    """Computes the feature maps of normalised images.

    Args:
      image: float images [B, H, W, 3], normalised.
      train: take batch statistics, unless they are frozen.

    Returns:
      Maps `stage1` to `stageS` and `final` (the last stage), and the global
      average of the last, float32.

    Raises:
      UserError: a depth, block, stem or stage size that does not exist.
    """
    kind, stage_sizes = self._layout()
    size, stride, pool = STEMS[self.stem]
    x = Conv(self.width, size, stride, dtype=self.dtype, name="conv1")(image)
    x = nn.relu(batch_norm(self, "bn1")(x, train=train))
    if pool:
      x = max_pool(x, 3, 2, 1)
    maps = {}
    for stage, blocks in enumerate(stage_sizes):
      for i in range(blocks):
        x = Block(
          kind,
          width=self.width * 2**stage,
          stride=2 if stage > 0 and i == 0 else 1,
          frozen_batch_norm=self.frozen_batch_norm,
          axis_name=self.axis_name,
          dtype=self.dtype,
          name=f"layer{stage + 1}_{i}",
        )(x, train=train)
      maps[f"stage{stage + 1}"] = x
    maps["final"] = x
    return Features(maps, x.astype(jnp.float32).mean((1, 2)))

  def _layout(self) -> tuple[str, tuple[int, ...]]:
    """Returns the kind of block and the number of blocks a stage."""
    if self.depth not in DEPTHS:
      raise unknown_name("ResNet depth", str(self.depth), map(str, DEPTHS))
    if self.stem not in STEMS:
      raise unknown_name("ResNet stem", self.stem, STEMS)
    kind, stage_sizes = DEPTHS[self.depth]
    kind = kind if self.block is None else self.block
    check_name("ResNet block", kind, EXPANSION)
    if self.stage_sizes is not None:
      stage_sizes = tuple(self.stage_sizes)
    if not stage_sizes or min(stage_sizes) < 1:
      raise UserError(
        f"ResNet stage_sizes = {stage_sizes}: expected one positive number of "
        "blocks a stage, for example (3, 4, 6, 3)."
      )
    return kind, stage_sizes


def batch_norm(module: Backbone | Block, name: str) -> BatchNorm:
  """Returns a normalisation layer with the settings of its owner."""
  return BatchNorm(
    axis_name=module.axis_name,
    frozen=module.frozen_batch_norm,
    dtype=module.dtype,
    name=name,
  )
