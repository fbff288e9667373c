"""Random crops, those of published training recipes among them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess import decode as decode_lib
from causal_mlr_jax.data.preprocess.resampling import (
  Box,
  Op,
  cropped,
  random_place,
  resized,
  sampled,
)
from causal_mlr_jax.data.preprocess.upright_rgb import UPRIGHT, exif_orientation

# Offsets (down, right) of a crop, in quarters of the free space: the four
# corners, the centre, the middles of the four sides, and four places halfway
# between the centre and the corners.
OFFSETS = (
  *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
  *((0, 2), (2, 0), (2, 4), (4, 2)),
  *((1, 1), (1, 3), (3, 1), (3, 3)),
)

# Range of the aspect ratio (width / height) of `random_resized_crop`.
_ASPECTS = (3 / 4, 4 / 3)
_LOG_ASPECTS = tuple(np.log(_ASPECTS))


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
  result, and resized by `sampled`. Images that need Pillow, or to be turned, go
  through the ops one by one.

  Args:
    size: Side of the result, in pixels.
    min_area: Smallest area of the crop, as a fraction of the image's area.
    mirror: Whether to apply 'flip_lr' too.
  """

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    image, image_size = None, decode_lib.jpeg_size(data)
    if image_size is None or exif_orientation(data) != UPRIGHT:
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


def multi_scale_crop(
  size: int,
  scales: Sequence[float] = (1, 0.875, 0.75, 0.66, 0.5),
  max_distort: int = 2,
) -> Op:
  """Crops one of several sizes at one of 13 places, then resizes to a square.

  Height and width are drawn uniformly from the pairs of sizes whose positions
  in `scales` differ by at most `max_distort`. This is the crop of ML-GCN,
  ADD-GCN and TDRG, from temporal segment networks (Wang et al., 2016). ADD-GCN
  and TDRG apply 'resize(size + 64)' before it; all three apply 'flip_lr' after
  it.

  Args:
    size: Side of the result, in pixels.
    scales: Sizes as fractions of the shorter side, in (0, 1].
    max_distort: Largest difference of positions; 0 crops only squares.

  Raises:
    UserError: There are no scales, or a scale is outside (0, 1].
  """
  if not scales or not all(0 < scale <= 1 for scale in scales):
    raise UserError(
      f"Preprocessing: multi_scale_crop got scales={tuple(scales)}; expected "
      "fractions of the shorter side, above 0 and at most 1, such as (1, 0.75)."
    )
  places = range(len(scales))
  pairs = [(i, j) for i in places for j in places if abs(i - j) <= max_distort]

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sides = [max(int(scale * min(image.shape[:2])), 1) for scale in scales]
    h, w = (sides[i] for i in pairs[rng.integers(len(pairs))])
    down, right = OFFSETS[rng.integers(len(OFFSETS))]
    top = down * ((image.shape[0] - h) // 4)
    left = right * ((image.shape[1] - w) // 4)
    cropped(image, top, left, h, w)  # raises if the crop does not fit
    return sampled(image, Box(top, left, h, w), size, size)

  return op


def random_choice_crop(sizes: Sequence[int]) -> Op:
  """Crops a square with a side from `sizes` at a uniformly random place.

  SSGRL and C-Tran use 'resize(640)|random_choice_crop((640, 576, 512, 384,
  320))|resize(576)', and C-Tran adds 'flip_lr' at the end.

  Raises:
    UserError: There are no sizes, or a size is not positive.
  """
  if not sizes or min(sizes) < 1:
    raise UserError(
      f"Preprocessing: random_choice_crop got sizes={tuple(sizes)}; expected "
      "at least one size in pixels, such as (640, 576)."
    )

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_place(image, sizes[int(rng.integers(len(sizes)))], rng)

  return op
