"""Decoded images of small splits, kept in memory from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import preprocess

KEEP_BYTES = 256 * 2**20


class Decoded(Sequence):
  """Records with their images decoded, uint8 [H, W, 3], once each.

  The arrays are read-only, since all epochs see the same ones. Threads may
  share it; at worst two of them decode an image at the same time.
  """

  def __init__(self, records: Sequence[Mapping[str, Any]]):
    """Wraps records with encoded images."""
    self._records = records
    self._decode = preprocess.decode()
    self._kept: dict[int, Mapping[str, Any]] = {}

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    if index not in self._kept:
      record = self._records[index]
      try:
        image = self._decode(record["image"], np.random.default_rng(0))
      except UserError as error:
        raise UserError(f"Record {index}: {error}") from error
      image.flags.writeable = False
      self._kept[index] = {**record, "image": image}
    return self._kept[index]


def fits(records: Sequence[Mapping[str, Any]]) -> bool:
  """Says whether all images are few enough, if they are as large as the first.

  Raises:
    UserError: the first one cannot be read or decoded.
  """
  return len(records) * Decoded(records)[0]["image"].nbytes <= KEEP_BYTES
