"""Random crops and cutout of published training recipes; see `preprocess`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess.resize_and_crop import (
  Box,
  Op,
  cropped,
  random_place,
  sampled,
)

# Offsets (down, right) of a crop, in quarters of the free space: the four
# corners, the centre, the middles of the four sides, and four places halfway
# between the centre and the corners.
OFFSETS = (
  *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
  *((0, 2), (2, 0), (2, 4), (4, 2)),
  *((1, 1), (1, 3), (3, 1), (3, 3)),
)


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


def cutout(length: int) -> Op:
  """Fills a square, centred on a random pixel, with one random colour.

  The square is clipped at the border (DeVries and Taylor, 2017). The scripts of
  CCD and IDA use a side of 224 on images of 448. Those of Q2L leave the length
  at -1, which draws nothing: there, leave out the op.

  Args:
    length: Side of the square, in pixels.

  Raises:
    UserError: The length is not positive.
  """
  if length < 1:
    raise UserError(
      f"Preprocessing: cutout got length={length}; expected the side of the "
      "square in pixels, at least 1. For no square, remove 'cutout'."
    )

  def op(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return filled(image, length, rng, rng.integers(0, 256, 3))

  return op


def filled(
  image: np.ndarray,
  length: int,
  rng: np.random.Generator,
  colour: Sequence[int] | np.ndarray,
) -> np.ndarray:
  """Returns a copy with a square of one colour, centred on a random pixel.

  Args:
    image: uint8 [H, W, 3].
    length: Side of the square, in pixels; it is clipped at the border.
    rng: Random generator for the centre.
    colour: Three values 0..255.
  """
  image = image.copy()
  top, left = (int(rng.integers(n)) - length // 2 for n in image.shape[:2])
  rows = slice(max(top, 0), max(top + length, 0))
  columns = slice(max(left, 0), max(left + length, 0))
  image[rows, columns] = colour
  return image
