"""The preprocessing ops by name: decoding, resizing, cropping, mirroring."""

from __future__ import annotations

import cv2
import numpy as np

from causal_mlr_jax.data.preprocess import crops_and_cutout, rand_augment
from causal_mlr_jax.data.preprocess import decode as decode_lib
from causal_mlr_jax.data.preprocess.decode import decode
from causal_mlr_jax.data.preprocess.resize_and_crop import (
  Box,
  Factory,
  Op,
  Resize,
  cropped,
  random_place,
  resampled,
  resized,
  sampled,
)

# Range of the aspect ratio (width / height) of `random_resized_crop`.
_ASPECTS = (3 / 4, 4 / 3)
_LOG_ASPECTS = tuple(np.log(_ASPECTS))


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


def random_crop(size: int, padding: int = 0) -> Op:
  """Pads every side by reflection and crops a random square."""

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if padding:
      pad = ((padding, padding), (padding, padding), (0, 0))
      image = np.pad(image, pad, mode="reflect")
    return random_place(image, size, rng)

  return op


def random_resized_crop(size: int, min_area: float = 0.08) -> Op:
  """Crops a random area with a random aspect ratio, and resizes to a square.

  The area is uniform in [min_area, 1] of the image, the aspect ratio is
  log-uniform in [3/4, 4/3]. If ten tries do not fit, the crop is the largest
  central part of the image with such an aspect ratio (the rule of torchvision).
  """

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    box = _random_box(image.shape[:2], min_area, rng)
    return resized(cropped(image, *box), size, size)

  return op


def decode_random_resized_crop(
  size: int, min_area: float = 0.08, mirror: bool = False
) -> Op:
  """A faster 'decode|random_resized_crop(size, min_area)'.

  The random crop is the same; it is drawn from the size in the file's header. A
  JPEG is decoded at a reduced size, as long as the crop is not smaller than the
  result, and resized by `sampled`. Images that need Pillow go through the ops
  one by one.

  Args:
    size: Side of the result, in pixels.
    min_area: Smallest area of the crop, as a fraction of the image's area.
    mirror: Whether to apply 'flip_lr' too.
  """

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    image, image_size = None, decode_lib.jpeg_size(data)
    if image_size is None:
      image = decode_lib.decode_bytes(data)
      image_size = image.shape[:2]
    box = _random_box(image_size, min_area, rng)
    mirrored = mirror and rng.random() < 0.5
    reduced = (
      decode_lib.decode_reduced(data, image_size, Box(*box), size)
      if image is None
      else None
    )
    if reduced:
      scaled = Box(*(side / reduced.shrink for side in box))
      return sampled(reduced.image, scaled, size, size, mirrored)
    image = decode_lib.decode_bytes(data) if image is None else image
    image = resized(cropped(image, *box), size, size)
    return cv2.flip(image, 1) if mirrored else image

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
    random_crop,
    random_resized_crop,
    flip_lr,
    crops_and_cutout.multi_scale_crop,
    crops_and_cutout.random_choice_crop,
    rand_augment.rand_augment,
    crops_and_cutout.cutout,
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


def _random_box(
  image_size: tuple[int, ...], min_area: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Returns the top, the left, the height and the width of a window."""
  height, width = image_size
  for _ in range(10):
    area = rng.uniform(min_area, 1) * height * width
    aspect = np.exp(rng.uniform(*_LOG_ASPECTS))
    w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    if 0 < w <= width and 0 < h <= height:
      top = int(rng.integers(height - h + 1))
      return top, int(rng.integers(width - w + 1)), h, w
  narrowest, widest = _ASPECTS
  h = min(height, round(width / narrowest))
  w = min(width, round(height * widest))
  return (height - h) // 2, (width - w) // 2, h, w
