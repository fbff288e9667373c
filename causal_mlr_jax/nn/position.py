"""Two-dimensional positions: fixed sines, and learned tables resized."""

from __future__ import annotations

import math

import numpy as np

# Parameter of the cubic kernel in PyTorch's bicubic resizing.
CUBIC_A = -0.75


def sine_2d(
  height: int, width: int, dim: int, temperature: float = 10000.0
) -> np.ndarray:
  """Returns sine positions [H * W, D], row-major, as DETR and Query2Label.

  The first half of the channels encodes the row, the second the column.
  Row h (from 1) becomes the angle 2π h / H, divided by T^(2⌊i/2⌋ / (D/2));
  even channels take the sine, odd ones the cosine.

  Args:
    height: H.
    width: W.
    dim: D, a multiple of 4.
    temperature: T.
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
  """Resizes a table of learned positions to another grid.

  PyTorch's bicubic rule, after which published weights are resized: corners
  not aligned, no antialiasing, samples outside taken from the border.

  Args:
    table: positions [h * w, D], row-major.
    grid: h and w.
    target: H and W.

  Returns:
    Positions [H * W, D], row-major, float32 or wider.

  Raises:
    ValueError: the table is not of its grid.
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
  # Adds up: several taps may fall on the same sample of the border.
  np.add.at(
    matrix,
    (np.arange(target)[:, None], samples),
    np.where(distance <= 1, near, far),
  )
  return matrix
