"""Two-dimensional position encodings: sines and resized learned tables."""

from __future__ import annotations

import math

import numpy as np

# Parameter of the cubic kernel in PyTorch's bicubic resizing.
CUBIC_A = -0.75


def sine_2d(
  height: int, width: int, dim: int, temperature: float = 10000.0
) -> np.ndarray:
  """Returns the sine position encodings [H * W, D] of DETR and Query2Label.

  Positions are row-major. The first half of the channels encodes the row, the
  second the column. In channel i, row h (from 1) has the angle
  2π h / H / T^(2⌊i/2⌋ / (D/2)). Even channels hold its sine, odd ones its
  cosine.

  Args:
    height: Height H of the grid.
    width: Width W of the grid.
    dim: Number of channels D, a multiple of 4.
    temperature: Base T of the frequencies.
  """
  half = dim // 2
  channel = np.arange(half, dtype=np.float64)
  frequency = temperature ** (2 * np.floor(channel / 2) / half)

  def encode(length: int) -> np.ndarray:
    place = np.arange(1, length + 1) / (length + 1e-6) * 2 * math.pi
    angle = place[:, None] / frequency
    return np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))

  rows = np.broadcast_to(encode(height)[:, None], (height, width, half))
  columns = np.broadcast_to(encode(width)[None], (height, width, half))
  table = np.concatenate([rows, columns], axis=-1)
  return table.reshape(height * width, 2 * half).astype(np.float32)


def resize_grid(
  table: np.ndarray, grid: tuple[int, int], target: tuple[int, int]
) -> np.ndarray:
  """Resizes a table of learned position encodings to another grid.

  Uses PyTorch's bicubic rule, as is usual for published weights: corners not
  aligned, no antialiasing, samples outside the grid taken from its border.

  Args:
    table: Position encodings [h * w, D], row-major.
    grid: Height h and width w of the table.
    target: Height H and width W of the result.

  Returns:
    Position encodings [H * W, D], row-major, float32 or wider.

  Raises:
    ValueError: The table does not have h * w rows.
  """
  rows, columns = map(_cubic_matrix, grid, target)
  old = np.asarray(table, np.float64).reshape(*grid, -1)
  new = np.einsum("Hh,Ww,hwD->HWD", rows, columns, old, optimize=True)
  dtype = np.result_type(table.dtype, np.float32)
  return new.reshape(target[0] * target[1], -1).astype(dtype)


def _cubic_matrix(length: int, target: int) -> np.ndarray:
  """Returns the matrix [target, length] that resizes one axis."""
  place = (np.arange(target) + 0.5) * (length / target) - 0.5
  first = np.floor(place)[:, None] + np.arange(-1, 3)
  distance = np.abs(place[:, None] - first)
  near = (CUBIC_A + 2) * distance**3 - (CUBIC_A + 3) * distance**2 + 1
  far = CUBIC_A * (distance**3 - 5 * distance**2 + 8 * distance - 4)
  matrix = np.zeros((target, length))
  samples = np.clip(first, 0, length - 1).astype(int)
  # `add.at`, because several taps may fall on the same sample of the border.
  np.add.at(
    matrix,
    (np.arange(target)[:, None], samples),
    np.where(distance <= 1, near, far),
  )
  return matrix
