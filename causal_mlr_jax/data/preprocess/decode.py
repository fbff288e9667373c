"""Decodes JPEG and PNG with libjpeg-turbo where possible, else with Pillow.

libjpeg-turbo, called through `simplejpeg`, takes less than half of Pillow's
time and gives the same pixels. Pillow decodes everything else, or reports what
is wrong: PNG, colour spaces other than YCbCr and grey, and damaged or oversized
images.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess.resampling import Box, scratch
from causal_mlr_jax.data.preprocess.upright_rgb import (
  exif_orientation,
  to_rgb,
  upright,
)

_START = b"\xff\xd8"
_COLOURS = ("YCbCr", "Gray")


class Reduced(NamedTuple):
  """A JPEG decoded at a reduced size.

  Attributes:
    image: uint8 [H', W', 3] in `scratch` memory; valid until this thread
      decodes another image.
    shrink: Factor by which the image was scaled down: 1, 2, 4 or 8.
  """

  image: np.ndarray
  shrink: int


def decode_bytes(data: bytes) -> np.ndarray:
  """Decodes PNG or JPEG bytes to RGB, uint8 [H, W, 3].

  The image is turned as its EXIF orientation says, and transparency is composed
  on white, see `to_rgb`.

  Raises:
    UserError: The bytes are not PNG or JPEG, or are damaged.
  """
  if jpeg_size(data) is not None:
    try:
      image = simplejpeg.decode_jpeg(data, "RGB")
      return upright(image, exif_orientation(data))
    except ValueError:
      pass  # Pillow tolerates some damage, and reports the rest
  try:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
      return np.asarray(to_rgb(image))
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    text = str(error).partition(" <_io")[0]
    raise UserError(
      f"An image of {len(data):,} bytes that begin with {data[:8]!r} cannot "
      f"be decoded: {text}. Expected an intact JPEG or PNG file; replace it or "
      "leave it out."
    ) from error


def decode() -> Callable[[Any, np.random.Generator], np.ndarray]:
  """Returns an op that decodes prepared PNG or JPEG; see `decode_bytes`."""

  def op(data: bytes, rng: np.random.Generator) -> np.ndarray:
    del rng
    try:
      return decode_bytes(data)
    except UserError as error:
      raise UserError(f"{error} Then prepare the data again.") from error

  return op


def jpeg_size(data: bytes) -> tuple[int, int] | None:
  """Returns a JPEG's height and width, or None if Pillow must decode it."""
  if not data.startswith(_START):
    return None
  try:
    rows, columns, colours, _ = simplejpeg.decode_jpeg_header(data)
  except ValueError:
    return None
  height, width = int(rows), int(columns)
  limit = Image.MAX_IMAGE_PIXELS or float("inf")
  if colours not in _COLOURS or not 0 < height * width <= limit:
    return None
  return height, width


def decode_reduced(
  data: bytes, image_size: tuple[int, int], box: Box, size: int
) -> Reduced | None:
  """Decodes a JPEG as small as possible with a window of at least `size`.

  Args:
    data: Encoded image.
    image_size: Height and width of the image, from `jpeg_size`.
    box: Window, in pixels of the image.
    size: Side of the square that the window will be resized to. The image is
      only scaled down while no side of the window becomes smaller than this.

  Returns:
    The reduced image, or None if it cannot be decoded.
  """
  shortest = min(box.height, box.width)
  shrink = next((k for k in (8, 4, 2) if shortest >= k * size), 1)
  height, width = (-(-side // shrink) for side in image_size)
  try:
    image = simplejpeg.decode_jpeg(
      data,
      "RGB",
      min_height=height,
      min_width=width,
      # Most files store colour at half the resolution. Interpolating it makes a
      # visible difference only if the window is enlarged.
      fastupsample=shortest >= size,
      buffer=scratch("decode", height, width).reshape(-1),
    )
  except ValueError:
    return None
  return Reduced(image, shrink) if image.shape[:2] == (height, width) else None
