"""Turns what Pillow read into upright 8-bit RGB.

A photograph is turned as its EXIF orientation says, transparency is composed
on white, and 16-bit greys are scaled. What changes pixels is said once.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import ExifTags, Image, ImageOps

from causal_mlr_jax.core import progress
from causal_mlr_jax.data.formats.image_check import DEEP_MODES, MODES

# EXIF stands in the first segments of a JPEG, each of at most 64 KiB.
_EXIF, _SEARCHED = b"Exif\x00\x00", 2**17
UPRIGHT = 1


def exif_orientation(data: bytes) -> int:
  """Returns the EXIF orientation of a JPEG, 1 (upright) to 8."""
  if data.find(_EXIF, 0, _SEARCHED) < 0:
    return UPRIGHT
  try:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
      found = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
  except Exception:  # Pillow raises nearly every kind; EXIF is no pixel
    return UPRIGHT
  return found if found in range(1, 9) else UPRIGHT


def upright(image_HW3: np.ndarray, orientation: int) -> np.ndarray:
  """Returns an image [H, W, 3] turned as an EXIF orientation says."""
  turned = _mirrored(image_HW3, orientation)
  return turned if turned is image_HW3 else np.ascontiguousarray(turned)


def _mirrored(image: np.ndarray, orientation: int) -> np.ndarray:
  if orientation >= 5:  # rows and columns are exchanged
    image = image.transpose(1, 0, 2)
  if orientation in (3, 4, 7, 8):
    image = image[::-1]
  if orientation in (2, 3, 6, 7):
    image = image[:, ::-1]
  return image


def to_rgb(image: Image.Image) -> Image.Image:
  """Returns an image as upright 8-bit RGB.

  Args:
    image: An image that Pillow has opened.

  Raises:
    ValueError: Its pixels are of a kind that has no such meaning.
  """
  if image.mode not in MODES:
    raise ValueError(f"it has pixels of the unknown kind {image.mode}")
  image = ImageOps.exif_transpose(image)
  if image.mode == "RGB" and "transparency" not in image.info:
    return image
  if image.mode in DEEP_MODES:
    _say("16-bit greys are scaled to 8 bits")
    grey = np.asarray(image).astype(np.float32).clip(0, 2**16 - 1)
    return Image.fromarray((grey / 257).round().astype(np.uint8)).convert("RGB")
  if image.mode == "CMYK":
    _say("CMYK is converted to RGB without a colour profile")
  if not image.has_transparency_data:
    return image.convert("RGB")
  image = image.convert("RGBA")
  if image.getchannel("A").getextrema() != (255, 255):
    _say("transparency is composed on white")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  return image.convert("RGB")


@functools.cache
def _say(what: str) -> None:
  progress.say(f"images: {what}")
