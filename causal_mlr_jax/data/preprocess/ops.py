"""The preprocessing ops by name: decoding, resizing, cropping, mirroring."""

from __future__ import annotations

import cv2
import numpy as np

from causal_mlr_jax.data.preprocess import cutout, rand_augment, random_crops
from causal_mlr_jax.data.preprocess.decode import decode
from causal_mlr_jax.data.preprocess.resampling import (
  Factory,
  Op,
  Resize,
  cropped,
  resampled,
  resized,
)


def _make_resize(by: Resize) -> Factory:
  def resize(height: int, width: int = 0) -> Op:
    """Resizes to height x width (square by default), bilinear, antialiased."""
    return lambda image, rng: by(image, height, width or height)

  return resize


def _make_resize_small(by: Resize) -> Factory:
  def resize_small(size: int) -> Op:
    """Resizes so that the shorter side is `size`, keeping the proportions."""

    def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
      del rng
      height, width = image.shape[:2]
      scale = size / min(height, width)
      return by(image, round(height * scale), round(width * scale))

    return op

  return resize_small


resize, resize_small = _make_resize(resized), _make_resize_small(resized)


def central_crop(size: int) -> Op:
  """Crops the central square, which must fit into the image."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    top, left = ((n - size) // 2 for n in image.shape[:2])
    return cropped(image, top, left, size, size)

  return op


def flip_lr() -> Op:
  """Mirrors half of the images left to right."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.flip(image, 1) if rng.random() < 0.5 else image

  return op


OPS: dict[str, Factory] = {
  f.__name__: f
  for f in (
    decode,
    resize,
    resize_small,
    central_crop,
    random_crops.random_crop,
    random_crops.random_resized_crop,
    flip_lr,
    random_crops.multi_scale_crop,
    random_crops.random_choice_crop,
    rand_augment.rand_augment,
    cutout.cutout,
  )
}


# The ops that make a random choice.
RANDOM = frozenset(
  (
    "random_crop",
    "random_resized_crop",
    "flip_lr",
    "multi_scale_crop",
    "random_choice_crop",
    "rand_augment",
    "cutout",
  )
)
# Faster replacements of ops, for training.
FAST: dict[str, Factory] = {
  "resize": _make_resize(resampled),
  "resize_small": _make_resize_small(resampled),
}
