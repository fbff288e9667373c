"""What the preprocessing ops share: their type, resizing and cropping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from causal_mlr_jax.core.errors import UserError

# From a uint8 image [H, W, 3] and the example's generator to such an image;
# the first op of a string takes the encoded bytes.
Op = Callable[[Any, np.random.Generator], np.ndarray]
Factory = Callable[..., Op]


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
  """Returns uint8 [height, width, 3], bilinear, antialiased."""
  if image.shape[:2] == (height, width):
    return image
  size = (width, height)
  return np.asarray(
    Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
  )


def cropped(
  image: np.ndarray, top: int, left: int, height: int, width: int
) -> np.ndarray:
  """Returns a window uint8 [height, width, 3] of an image.

  Args:
    image: uint8 [H, W, 3].
    top: first row, at least 0.
    left: first column, at least 0.
    height: of the window, in pixels.
    width: of the window, in pixels.

  Raises:
    UserError: the window is larger than the image.
  """
  if image.shape[0] < height or image.shape[1] < width:
    wanted = f"{height}" if height == width else f"{height} x {width}"
    raise UserError(
      f"Preprocessing: cannot crop {wanted} from an image of "
      f"{image.shape[0]} x {image.shape[1]}; resize first, for example with "
      f"'resize_small({max(height, width)})'."
    )
  return image[top : top + height, left : left + width]


def random_place(
  image: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
  """Returns a window uint8 [size, size, 3] at a uniformly random place.

  Args:
    image: uint8 [H, W, 3].
    size: of the window, in pixels.
    rng: for the place.

  Raises:
    UserError: the window is larger than the image.
  """
  # An image that is too small draws from one place and fails in `cropped`.
  rows, columns = (max(n - size + 1, 1) for n in image.shape[:2])
  top, left = int(rng.integers(rows)), int(rng.integers(columns))
  return cropped(image, top, left, size, size)
