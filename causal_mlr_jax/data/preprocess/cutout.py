"""Cutout (DeVries and Taylor 2017, arXiv:1708.04552), and filled boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess.resampling import Op


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
