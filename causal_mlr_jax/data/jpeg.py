"""Decodes the part of a JPEG that a crop keeps, as small as it may be.

Three things save what a crop does not need, two of them by a changed header.
Decoding is libjpeg-turbo's, through `simplejpeg`, which unlike Pillow writes
into a NumPy array.

* A JPEG is stored row by row. With a smaller height, decoding ends below the
  crop; the rows above are as they were.
* A crop that is shrunk at least twofold is decoded at 1/2, 1/4 or 1/8 of its
  size (this is an option of the decoder).
* A crop that is shrunk has to be blurred before it is interpolated. Pixels
  are cosines in blocks of 8 x 8, and for a cosine a blur with the weights
  (a, 1 - 2a, a) is a factor. Multiplied into the table of quantisation, by
  which all blocks are multiplied anyway, it costs nothing. At the border of a
  block it takes the pixel itself in place of its neighbour.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from causal_mlr_jax.data.image_ops import SHARP, Box, scratch

_START, _END = b"\xff\xd8", b"\xff\xd9"
# Markers of a frame by Huffman codes: one pass over the image, or several
# that refine it. Of the other frames no decoder here is certain.
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES, _SCAN = 0xDB, 0xDA
# Rows of pixels that are coded together, at most, in the usual subsamplings.
_ROWS = 16
# How a table runs through a block: along its diagonals, up and down in turn.
_ORDER = sorted(
  range(64),
  key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8),
)
# In which blurs are rounded, so that few tables have to be computed.
_STEPS = 64


class Frame(NamedTuple):
  """What the header of a JPEG says.

  Attributes:
    height: of the image, in pixels.
    width: of the image, in pixels.
    height_at: where the two bytes of the height are.
    one_scan: whether all of the image is stored from top to bottom.
    tables_at: where the tables of quantisation are, of 64 bytes, of the
      channels of full resolution; empty if they are of another kind.
  """

  height: int
  width: int
  height_at: int
  one_scan: bool
  tables_at: tuple[int, ...]


class Window(NamedTuple):
  """A decoded part of an image.

  Attributes:
    image: uint8 [H', W', 3], from the first row and column of the image on;
      `scratch`, to be used before this thread decodes the next.
    shrink: by what it was scaled down: 1, 2, 4 or 8.
    blurred: whether it may be interpolated without a blur.
  """

  image: np.ndarray
  shrink: int
  blurred: bool


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
  tables: dict[int, int] = {}
  while place + 10 < len(data) and data[place] == 0xFF:
    marker, length = data[place + 1], _number(data, place + 2)
    if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
      found = place
    elif marker == _TABLES:
      # The first byte of each is its precision, 0 for bytes, and its number.
      starts = range(place + 4, min(place + 2 + length, len(data)), 65)
      tables |= {data[start]: start + 1 for start in starts}
    elif marker in _OTHER_FRAMES:
      return None
    elif marker == _SCAN:
      return None if found is None else _frame(data, found, place, tables)
    place += 2 + length
  return None


def decode_window(
  data: bytes, frame: Frame, box: Box, size: int
) -> Window | None:
  """Decodes at least a window, scaled down while both sides exceed `size`.

  Args:
    data: the encoded image.
    frame: its header.
    box: the window, in pixels of the image.
    size: of the square that the window is to be resized to. Scaled down, the
      window has no side smaller than this, unless the image has.

  Returns:
    The part, which may end below the window, or None where it cannot be
    decoded.
  """
  shortest = min(box.height, box.width)
  shrink = next((k for k in (8, 4, 2) if shortest >= k * size), 1)
  changed, rows = bytearray(data), frame.height
  if frame.one_scan:
    # One pixel more than the window: its last row is interpolated with it.
    last = box.top + box.height + shrink - 1
    rows = min(rows, last // _ROWS * _ROWS + _ROWS)
    changed[frame.height_at : frame.height_at + 2] = rows.to_bytes(2, "big")
  scales = (box.height / shrink / size, box.width / shrink / size)
  blurred = _blur_tables(changed, frame, scales, shrink)
  least = (-(-rows // shrink), -(-frame.width // shrink))
  try:
    image = simplejpeg.decode_jpeg(
      changed,
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
  return Window(image, shrink, blurred) if image.shape[:2] == least else None


def _blur_tables(
  data: bytearray, frame: Frame, scales: tuple[float, float], shrink: int
) -> bool:
  """Changes the tables, and returns whether the pixels need no blur now."""
  if max(scales) <= SHARP:
    return True
  # Three weights make no wider blur than a scale of 2 asks for.
  if max(scales) > 2 or not frame.tables_at:
    return False
  weights = tuple(_weight(scale) for scale in scales)
  for at in frame.tables_at:
    data[at : at + 64] = _blurring(bytes(data[at : at + 64]), weights, shrink)
  return True


def _weight(scale: float) -> int:
  """Returns the outer weight of the blur for a scale, in `_STEPS`.

  The variance is (scale^2 - 1) / 6, see `image_ops.sampled`.
  """
  return round((scale**2 - 1) / 12 * _STEPS) if scale > SHARP else 0


@functools.lru_cache(maxsize=1 << 14)
def _blurring(table: bytes, weights: tuple[int, int], shrink: int) -> bytes:
  """Returns a table of quantisation that blurs down and across."""
  # The blur is that of the image which is already scaled down.
  angles = np.minimum(np.arange(8) * shrink, 8) * np.pi / 8
  down, across = (
    1 - 2 * weight / _STEPS * (1 - np.cos(angles)) for weight in weights
  )
  factors = np.outer(down, across).ravel()[_ORDER]
  changed = np.rint(np.frombuffer(table, np.uint8) * factors).clip(1)
  return changed.astype(np.uint8).tobytes()


def _frame(
  data: bytes, place: int, scan: int, tables: dict[int, int]
) -> Frame | None:
  precision, channels = data[place + 4], data[place + 9]
  height, width = _number(data, place + 5), _number(data, place + 7)
  limit = Image.MAX_IMAGE_PIXELS or float("inf")
  if precision != 8 or channels not in (1, 3) or not height * width:
    return None
  if height * width > limit or place + 10 + 3 * channels > scan:
    return None
  one_scan = data[place + 1] != _PROGRESSIVE and data[scan + 4] == channels
  # Of each channel a name, its resolution and its table.
  resolutions = data[place + 11 : place + 10 + 3 * channels : 3]
  used = data[place + 12 : place + 10 + 3 * channels : 3]
  whole = {
    n for r, n in zip(resolutions, used, strict=True) if r == max(resolutions)
  }
  tables_at = tuple(tables[n] for n in sorted(whole) if n in tables)
  return Frame(height, width, place + 5, one_scan, tables_at)


def _number(data: bytes, place: int) -> int:
  return int.from_bytes(data[place : place + 2], "big")
