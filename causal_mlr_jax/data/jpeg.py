"""Decodes the part of a JPEG that a crop keeps, as small as it may be.

What a crop does not need is saved in two ways. A JPEG is stored row by row,
so decoding ends below the crop: the header is told a smaller height, which
leaves the rows above as they are. And a crop that is shrunk at least twofold
is decoded at 1/2, 1/4 or 1/8 of its size, straight from the coefficients.
Decoding is libjpeg-turbo's, through `simplejpeg`, which unlike Pillow writes
into a NumPy array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from causal_mlr_jax.data.image_ops import Box, scratch

_START, _END = b"\xff\xd8", b"\xff\xd9"
# Markers of a frame by Huffman codes: one pass over the image, or several
# that refine it. Of the other frames no decoder here is certain.
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
# Rows of pixels that are coded together, at most, in the usual subsamplings.
_BLOCK = 16


class Frame(NamedTuple):
  """What the header of a JPEG says.

  Attributes:
    height: of the image, in pixels.
    width: of the image, in pixels.
    height_at: where the two bytes of the height are.
    one_scan: whether all of the image is stored from top to bottom.
  """

  height: int
  width: int
  height_at: int
  one_scan: bool


def read_frame(data: bytes) -> Frame | None:
  """Reads the header of a grey or three-channel JPEG.

  Args:
    data: the encoded image.

  Returns:
    None for what is to be left to Pillow: other formats, CMYK, rare kinds of
    JPEG, files that do not end as they should and images so large that Pillow
    warns of them.
  """
  if not (data.startswith(_START) and data.endswith(_END)):
    return None
  place, found = len(_START), None
  while place + 10 < len(data) and data[place] == 0xFF:
    marker, length = data[place + 1], _number(data, place + 2)
    if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
      found = place
    elif marker in _OTHER_FRAMES:
      return None
    elif marker == _SCAN:
      return None if found is None else _frame(data, found, place)
    place += 2 + length
  return None


def decode_window(
  data: bytes, frame: Frame, box: Box, size: int
) -> tuple[np.ndarray, int] | None:
  """Decodes at least a window, scaled down while both sides exceed `size`.

  Args:
    data: the encoded image.
    frame: its header.
    box: the window, in pixels of the image.
    size: the window, scaled down, has no side smaller than this, unless the
      image has.

  Returns:
    The image uint8 [H', W', 3] from its first row and column on, which may
    end below the window, and by what it was scaled down: 1, 2, 4 or 8. It is
    `scratch`, to be used before this thread decodes the next. None where it
    cannot be decoded.
  """
  shortest = min(box.height, box.width)
  shrink = next((k for k in (8, 4, 2) if shortest >= k * size), 1)
  rows = frame.height
  if frame.one_scan:
    # One pixel more than the window: its last row is interpolated with it.
    last = box.top + box.height + shrink - 1
    rows = min(rows, last // _BLOCK * _BLOCK + _BLOCK)
    at = frame.height_at
    data = data[:at] + rows.to_bytes(2, "big") + data[at + 2 :]
  least = (-(-rows // shrink), -(-frame.width // shrink))
  try:
    image = simplejpeg.decode_jpeg(
      data,
      "RGB",
      min_height=least[0],
      min_width=least[1],
      # Colour has half the resolution in most files. Interpolating it is seen
      # only where the window is enlarged.
      fastupsample=shortest >= size,
      # The rows that are left out are "extraneous bytes".
      strict=False,
      buffer=scratch("decode", *least).reshape(-1),
    )
  except ValueError:
    return None
  return (image, shrink) if image.shape[:2] == least else None


def _frame(data: bytes, place: int, scan: int) -> Frame | None:
  precision, channels = data[place + 4], data[place + 9]
  height, width = _number(data, place + 5), _number(data, place + 7)
  limit = Image.MAX_IMAGE_PIXELS or float("inf")
  if precision != 8 or channels not in (1, 3) or not height * width:
    return None
  if height * width > limit:
    return None
  one_scan = data[place + 1] != _PROGRESSIVE and data[scan + 4] == channels
  return Frame(height, width, place + 5, one_scan)


def _number(data: bytes, place: int) -> int:
  return int.from_bytes(data[place : place + 2], "big")
