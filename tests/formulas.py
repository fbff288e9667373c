"""Formulas that several tests compare with."""

import numpy as np


def one_cycle(step, total, turn, first, middle, last):
  """Returns the value of PyTorch's OneCycleLR, cosine, written by itself."""
  peak, end = turn * total - 1, total - 1

  def between(start, stop, part):
    return stop + (start - stop) / 2 * (1 + np.cos(np.pi * part))

  if step <= peak:
    return between(first, middle, step / peak)
  return between(middle, last, (step - peak) / (end - peak))
