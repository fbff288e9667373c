"""Small images as text, so that a page can hold them."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from PIL import Image

# Longest side in pixels, and quality; a photograph takes about 5 kB, noise 12.
SIDE, QUALITY = 128, 78
# Weight of the colours of a map over an image.
OVERLAY = 0.5


def encode(pixels_HWC: np.ndarray) -> str:
  """Returns an image as a JPEG no larger than `SIDE`, in base64.

  Args:
    pixels_HWC: RGB, uint8.
  """
  image = Image.fromarray(pixels_HWC)
  image.thumbnail((SIDE, SIDE))
  data = io.BytesIO()
  image.save(data, format="JPEG", quality=QUALITY, optimize=True)
  return base64.b64encode(data.getvalue()).decode()


def with_map(pixels_HWC: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
  """Returns an image under a map in colours, uint8 [H, W, 3].

  Args:
    pixels_HWC: RGB, uint8.
    map_HW: The map, on a coarser grid; its smallest value is dark, its largest
      one bright.
  """
  image = Image.fromarray(pixels_HWC)
  image.thumbnail((SIDE, SIDE))
  low, high = float(map_HW.min()), float(map_HW.max())
  scaled = (map_HW - low) / max(high - low, 1e-12)
  grid = Image.fromarray(scaled.astype(np.float32))
  fine = np.asarray(grid.resize(image.size, Image.Resampling.BICUBIC))
  colours = matplotlib.colormaps["inferno"](fine.clip(0, 1))[..., :3] * 255
  mixed = (1 - OVERLAY) * np.asarray(image) + OVERLAY * colours
  return mixed.round().astype(np.uint8)


def grid_of(positions: int, height: int, width: int) -> tuple[int, int] | None:
  """Returns the rows and columns of a map from its number of positions.

  Args:
    positions: Number P of positions.
    height: Height of the image.
    width: Width of the image.

  Returns:
    The grid with the shape nearest to the image's; None where that is far off,
    so that the positions cannot be those of a grid over the image.
  """
  wanted = np.log(height / width)
  sides = [rows for rows in range(1, positions + 1) if positions % rows == 0]
  if not sides:
    return None
  off = [abs(np.log(rows * rows / positions) - wanted) for rows in sides]
  best = int(np.argmin(off))
  rows = sides[best]
  return (rows, positions // rows) if off[best] < np.log(2) else None
