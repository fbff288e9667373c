"""Decodes JPEG and PNG: libjpeg-turbo where it can, else Pillow.

Through `simplejpeg`, libjpeg-turbo takes less than half of Pillow's time and
gives the same pixels. What it does not take as it is (other colours than YCbCr
and grey, damage, far too large an image) is left to Pillow, and so are its
messages.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import image_check
from causal_mlr_jax.data.preprocess.resize_and_crop import Box, scratch

_START = b"\xff\xd8"
_COLOURS = ("YCbCr", "Gray")


class Reduced(NamedTuple):
  """A JPEG decoded at a part of its size.

  Attributes:
    image: uint8 [H', W', 3]; `scratch`, to be used before this thread decodes
      the next.
    shrink: by what it was scaled down: 1, 2, 4 or 8.
  """

  image: np.ndarray
  shrink: int


def decode_bytes(data: bytes) -> np.ndarray:
  """Decodes PNG or JPEG bytes to RGB, uint8 [H, W, 3].

  Transparency is dropped, not laid over a background: a transparent pixel
  takes the colour that the file stores for it, often black or white.

  Raises:
    UserError: the bytes are neither, or damaged.
  """
  if jpeg_size(data) is not None:
    try:
      return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
      pass  # Pillow takes some damage, and says what it does not take
  try:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
      return np.asarray(_rgb(image))
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    raise UserError(
      f"An image of {len(data):,} bytes that begin with {data[:8]!r} cannot "
      f"be decoded: {error}. Expected a whole JPEG or PNG file; replace it "
      "or leave it out, and prepare the data anew."
    ) from error


def decode() -> Callable[[Any, np.random.Generator], np.ndarray]:
  """Decodes PNG or JPEG bytes to RGB, see `decode_bytes`."""
  return lambda data, rng: decode_bytes(data)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
  """Returns height and width of a JPEG, None for what is left to Pillow."""
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
  """Decodes a JPEG scaled down while both sides of a window exceed `size`.

  Args:
    data: the encoded image.
    image_size: its height and width, from `jpeg_size`.
    box: the window, in pixels of the image.
    size: of the square that the window is to be resized to. Scaled down, the
      window has no side smaller than this, unless the image has.

  Returns:
    None where it cannot be decoded.
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
      # Colour has half the resolution in most files. Interpolating it is seen
      # only where the window is enlarged.
      fastupsample=shortest >= size,
      buffer=scratch("decode", height, width).reshape(-1),
    )
  except ValueError:
    return None
  return Reduced(image, shrink) if image.shape[:2] == (height, width) else None


def _rgb(image: Image.Image) -> Image.Image:
  if image.mode == "RGB":
    return image
  if image.mode not in image_check.MODES:
    raise ValueError(f"it has pixels of the kind {image.mode}, not 8 bits")
  if isinstance(image.info.get("transparency"), bytes):
    # An opacity for each colour of a palette: Pillow warns unless asked for it.
    image = image.convert("RGBA")
  return image.convert("RGB")
