"""Types and functions that preprocessing ops share: resizing and cropping."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from causal_mlr_jax.core.errors import UserError

# Maps a uint8 image [H, W, 3] and the example's generator to such an image; the
# first op of a string takes the encoded bytes.
Op = Callable[[Any, np.random.Generator], np.ndarray]
Factory = Callable[..., Op]
# Maps a uint8 image [H, W, 3], a height and a width to an image of that size.
Resize = Callable[[np.ndarray, int, int], np.ndarray]
# Largest image, in bytes, whose memory a thread keeps for reuse.
_KEPT = 1 << 24
# Up to this scale, smoothing would hardly change the image.
SHARP = 1.05
# Beyond this scale, Pillow is as fast, since the filter grows with the scale.
STRONG = 6

# The threads of the pipeline keep all cores busy, so OpenCV must add no more.
cv2.setNumThreads(1)


class Box(NamedTuple):
  """A window of an image, in its pixels.

  Attributes:
    top: First row.
    left: First column.
    height: Height of the window.
    width: Width of the window.
  """

  top: float
  left: float
  height: float
  width: float


class _Kept(threading.local):
  def __init__(self):
    self.arrays: dict[str, np.ndarray] = {}


_kept = _Kept()


def scratch(use: str, height: int, width: int) -> np.ndarray:
  """Returns an uninitialised array, uint8 [height, width, 3].

  The memory belongs to the thread and is valid until the thread requests the
  same use again. Fresh memory must be mapped page by page, which takes longer
  than the ops that write to it.

  Args:
    use: Name of the purpose; each purpose has separate memory.
    height: Height of the image, in pixels.
    width: Width of the image, in pixels.
  """
  size = height * width * 3
  array = _kept.arrays.get(use)
  if array is None or array.size < size:
    array = np.empty(size, np.uint8)
    if size <= _KEPT:
      _kept.arrays[use] = array
  return array[:size].reshape(height, width, 3)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes to uint8 [height, width, 3], bilinear, antialiased."""
  if image.shape[:2] == (height, width):
    return image
  size = (width, height)
  return np.asarray(
    Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
  )


def resampled(image: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes to uint8 [height, width, 3]; close to `resized`, but faster."""
  if image.shape[:2] == (height, width):
    return image
  return sampled(image, Box(0, 0, *image.shape[:2]), height, width)


def cropped(
  image: np.ndarray, top: int, left: int, height: int, width: int
) -> np.ndarray:
  """Returns a window of an image, uint8 [height, width, 3].

  Args:
    image: uint8 [H, W, 3].
    top: First row, at least 0.
    left: First column, at least 0.
    height: Height of the window, in pixels.
    width: Width of the window, in pixels.

  Raises:
    UserError: The window is larger than the image.
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
  """Returns a window at a uniformly random place, uint8 [size, size, 3].

  Args:
    image: uint8 [H, W, 3].
    size: Side of the window, in pixels.
    rng: Random generator for the place.

  Raises:
    UserError: The window is larger than the image.
  """
  # For an image that is too small, place 0 is drawn and `cropped` raises.
  rows, columns = (max(n - size + 1, 1) for n in image.shape[:2])
  top, left = int(rng.integers(rows)), int(rng.integers(columns))
  return cropped(image, top, left, size, size)


def sampled(
  image: np.ndarray,
  box: Box,
  height: int,
  width: int,
  mirrored: bool = False,
) -> np.ndarray:
  """Crops and resizes a window quickly; returns uint8 [height, width, 3].

  The result is bilinear and antialiased, like `cropped` followed by `resized`,
  and within 0.6 of 255 on average (photographs to 224 pixels). Instead of one
  wide triangle filter, it uses a narrow filter of the same variance, then
  linear interpolation, for which OpenCV has vector instructions.

  Args:
    image: uint8 [H, W, 3].
    box: Window; its bounds may lie between pixels.
    height: Height of the result, in pixels.
    width: Width of the result, in pixels.
    mirrored: Whether to mirror the result left to right.
  """
  # With bounds between pixels, neighbours outside contribute to the border.
  whole = not any(side % 1 for side in box)
  room = 0 if whole else 2
  top, left = (max(int(side) - room, 0) for side in (box.top, box.left))
  bottom = math.ceil(box.top + box.height) + room
  right = math.ceil(box.left + box.width) + room
  image = image[top:bottom, left:right]
  down, across = box.height / height, box.width / width
  if max(down, across) > STRONG:
    part = Box(box.top - top, box.left - left, box.height, box.width)
    return _by_pillow(image, part, height, width, mirrored)
  if max(down, across) > SHARP:
    image = _smoothed(image, down, across)
  found = scratch("mirror", height, width) if mirrored else None
  size = width, height
  if whole:
    found = cv2.resize(image, size, dst=found)
  else:
    # Maps the centre of a pixel of the result to its source position.
    place = [
      [across, 0, box.left - left + (across - 1) / 2],
      [0, down, box.top - top + (down - 1) / 2],
    ]
    flags, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    found = cv2.warpAffine(image, np.array(place), size, found, flags, edge)
  return cv2.flip(found, 1) if mirrored else found


def _by_pillow(
  image: np.ndarray, box: Box, height: int, width: int, mirrored: bool
) -> np.ndarray:
  edges = (
    box.left,
    box.top,
    min(box.left + box.width, image.shape[1]),  # rounding may exceed the edge
    min(box.top + box.height, image.shape[0]),
  )
  size, sampling = (width, height), Image.Resampling.BILINEAR
  found = np.asarray(Image.fromarray(image).resize(size, sampling, edges))
  return cv2.flip(found, 1) if mirrored else found


def _smoothed(image: np.ndarray, down: float, across: float) -> np.ndarray:
  (tall, blur_down), (wide, blur_across) = _blur(down), _blur(across)
  return cv2.GaussianBlur(
    image,
    (wide, tall),
    blur_across,
    dst=scratch("blur", *image.shape[:2]),
    sigmaY=blur_down,
    borderType=cv2.BORDER_REPLICATE,
  )


def _blur(scale: float) -> tuple[int, float]:
  """Returns the width and deviation of the blur before linear interpolation.

  Blur and interpolation together have the variance of a triangle that is
  `scale` times as wide: variances add up, and a triangle of half-width s has
  s^2 / 6.
  """
  if scale <= SHARP:
    return 1, 1.0
  variance = (scale**2 - 1) / 6
  if scale > 2:
    return 2 * math.ceil(2 * variance**0.5) + 1, variance**0.5
  # The deviation for which the three weights are (v / 2, 1 - v, v / 2).
  side_to_centre = variance / 2 / (1 - variance)
  return 3, (-0.5 / math.log(side_to_centre)) ** 0.5
