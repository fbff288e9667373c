"""Fixed two-dimensional sine positions."""

from __future__ import annotations

import math

import numpy as np


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
