"""The image path of BEiT-3: a pre-norm ViT with sub-layer norms.

Wang et al., Image as a Foreign Language (arXiv:2208.10442), with the sub-LN of
Wang et al., Foundation Transformers (arXiv:2210.06423). The published network
has a second copy of every layer for text, which images do not use.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Array, Features
from causal_mlr_jax.nn.attention import Projection, attend
from causal_mlr_jax.nn.conv import Conv

# Input of the published weights: (image - MEAN) / STD, image in 0..255. The
# normalisation of the pretraining is not published; the image-text tasks use a
# mean and deviation of 0.5 in 0..1, which is the safest choice. The files named
# `_in1k` were trained with ImageNet's: `resnet.MEAN` and `resnet.STD`.
MEAN = (127.5, 127.5, 127.5)
STD = (127.5, 127.5, 127.5)

# size: width, layers, heads, hidden width of the feed-forward
SIZES = {"base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}
LAYER_NORM_EPS = 1e-5
KERNEL_INIT = nn.initializers.truncated_normal(0.02, lower=-1.0, upper=1.0)
# PyTorch's default for a convolution: uniform within 1 / sqrt(fan-in).
PATCH_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Layer(nn.Module):
  """Self-attention and feed-forward, each with a norm before it and inside."""

  num_heads: int
  hidden: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x_BPD: Array) -> Array:
    """Returns an array of the shape of `x_BPD`."""

    def project(name: str, x: Array) -> Array:
      return Projection(name != "key", KERNEL_INIT, self.dtype, name=name)(x)

    def dense(name: str, features: int, x: Array) -> Array:
      return nn.Dense(
        features, kernel_init=KERNEL_INIT, dtype=self.dtype, name=name
      )(x)

    y = layer_norm("norm1", self.dtype)(x_BPD)
    query, key, value = (project(n, y) for n in ("query", "key", "value"))
    y, _ = attend(query, key, value, self.num_heads)
    y = layer_norm("attention_norm", self.dtype)(y)
    x = x_BPD + project("out", y)
    y = layer_norm("norm2", self.dtype)(x)
    y = dense("linear1", self.hidden, y).astype(jnp.float32)
    y = nn.gelu(y, approximate=False).astype(self.dtype)
    y = layer_norm("hidden_norm", self.dtype)(y)
    return x + dense("linear2", x.shape[-1], y)


class Backbone(nn.Module):
  """The image path of BEiT-3 without its task heads.

  It has no dropout and no stochastic depth. The image size at initialisation
  fixes the number of positions.
  """

  size: str = "base"  # or "large"; see SIZES
  embed_dim: int | None = None  # D; in these four, None or 0: that of the size
  num_layers: int | None = None
  num_heads: int | None = None
  hidden: int | None = None  # width of the feed-forward
  patch_size: int = 16  # in pixels
  final_norm: bool = True  # whether a norm follows the last layer
  axis_name: str | None = None  # not used: there are no batch statistics
  dtype: jnp.dtype = jnp.float32  # of the activations

  def __call__(self, image: Array, *, train: bool) -> Features:
    """Computes the feature maps of normalised images.

    Args:
      image: Float images [B, H, W, 3], normalised; H and W are multiples of
        `patch_size`.
      train: Not used.

    Returns:
      Maps `early`, the patch tokens after the first quarter of the layers,
      and `final`, those after the last layer, both [B, H / patch_size,
      W / patch_size, D]; and the global average of `final`, float32.

    Raises:
      UserError: There is no such size, or the image size does not fit.
    """
    tokens, aux = self.tokens(image, train=train)
    height, width = (side // self.patch_size for side in image.shape[1:3])

    def grid(x: Array) -> Array:
      return x[:, 1:].reshape(x.shape[0], height, width, x.shape[2])

    maps = {"early": grid(aux["early"]), "final": grid(tokens)}
    return Features(maps, maps["final"].astype(jnp.float32).mean((1, 2)))

  @nn.compact
  def tokens(
    self, image: Array, mask_BP: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    """Computes all tokens; the class token is the first.

    Args:
      image: Float images [B, H, W, 3], normalised.
      mask_BP: 1 where a patch is replaced by the mask token.
      train: Not used.

    Returns:
      Tokens [B, 1 + P, D], and intermediate tokens by name: `embedding`,
      `layer_0`, `early` and `before_norm`.

    Raises:
      UserError: There is no such size, or the image size does not fit.
    """
    del train
    width, num_layers, num_heads, hidden = self._layout()
    self._check_image(image)
    aux = {"embedding": self._embed(image, mask_BP, width)}
    x = aux["embedding"]
    for i in range(num_layers):
      x = Layer(num_heads, hidden, self.dtype, name=f"layers_{i}")(x)
      if i == 0:
        aux["layer_0"] = x
      if i + 1 == max(num_layers // 4, 1):
        aux["early"] = x
    aux["before_norm"] = x
    return layer_norm("norm", self.dtype)(x) if self.final_norm else x, aux

  def _embed(self, image: Array, mask_BP: Array | None, width: int) -> Array:
    """Returns the input of the first layer [B, 1 + P, D]."""
    x = Conv(
      width,
      self.patch_size,
      self.patch_size,
      padding=0,
      use_bias=True,
      dtype=self.dtype,
      kernel_init=PATCH_INIT,
      name="patch_conv",
    )(image)
    x = x.reshape(x.shape[0], -1, width)
    zeros, token = nn.initializers.zeros, (1, 1, width)
    cls_token = self.param("cls_token", zeros, token).astype(self.dtype)
    mask_token = self.param("mask_token", zeros, token).astype(self.dtype)
    if mask_BP is not None:
      masked = mask_BP.reshape(*x.shape[:2], 1).astype(bool)
      x = jnp.where(masked, mask_token, x)
    cls_token = jnp.broadcast_to(cls_token, (x.shape[0], 1, width))
    x = jnp.concatenate([cls_token, x], axis=1)
    position = self.param("position", nn.initializers.normal(1.0), x.shape[1:])
    return x + position.astype(self.dtype)[None]

  def _layout(self) -> tuple[int, ...]:
    """Returns the width, the numbers of layers and heads, and hidden width."""
    if self.size not in SIZES:
      raise unknown_name("BEiT-3 size", self.size, SIZES)
    fields = (self.embed_dim, self.num_layers, self.num_heads, self.hidden)
    layout = tuple(
      own or usual for own, usual in zip(fields, SIZES[self.size], strict=True)
    )
    width, _, heads, _ = layout
    if min(layout) < 1 or width % heads:
      raise UserError(
        f"BEiT-3 embed_dim, num_layers, num_heads, hidden = {layout}: expected "
        "positive numbers and a width that the heads divide; set num_heads "
        "together with embed_dim."
      )
    return layout

  def _check_image(self, image: Array) -> None:
    """Raises unless the image has as many patches as the position table."""
    size, height, width = self.patch_size, *image.shape[1:3]
    patches = (height // size) * (width // size)
    if height % size or width % size or not patches:
      raise UserError(
        f"BEiT-3 got images of {height} x {width} pixels; expected sides that "
        f"are multiples of patch_size = {size}. Resize the images."
      )
    if self.has_variable("params", "position"):
      rows = self.get_variable("params", "position").shape[0] - 1
      if rows != patches:
        raise UserError(
          f"BEiT-3 got images of {height} x {width} pixels, {patches} "
          f"patches; its position table has {rows}. Give images of the size "
          "it was made for, or convert the weights for this size, which "
          "resizes the table."
        )


def layer_norm(name: str, dtype: jnp.dtype) -> nn.LayerNorm:
  """Returns a layer norm with the published epsilon.

  The variance is computed from deviations from the mean; as a difference of
  squares it would lose precision where a token's mean is large.
  """
  return nn.LayerNorm(
    LAYER_NORM_EPS, dtype=dtype, use_fast_variance=False, name=name
  )
