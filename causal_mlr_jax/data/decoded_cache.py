"""A cache of decoded images that lasts from epoch to epoch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess import decode


class Decoded(Sequence):
  """Records with decoded images, uint8 [H, W, 3].

  Images are kept until the memory limit is reached; the others are decoded
  every time. The arrays are read-only because all epochs share them. The object
  is thread-safe; at worst, two threads decode the same image.
  """

  def __init__(self, records: Sequence[Mapping[str, Any]], limit: int):
    """Wraps records with encoded images.

    Args:
      records: Records with random access.
      limit: Memory for the images that are kept, in bytes.
    """
    self._records, self._limit = records, limit
    self._kept: dict[int, Mapping[str, Any]] = {}
    self._bytes, self._full = 0, False
    self._lock = threading.Lock()

  def __len__(self):
    return len(self._records)

  @property
  def kept_bytes(self) -> int:
    """The size of the images that are kept, in bytes."""
    return self._bytes

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    found = self._kept.get(index)
    if found is not None:
      return found
    record = self._records[index]
    try:
      image = decode.decode_bytes(record["image"])
    except UserError as error:
      raise UserError(f"Record {index}: {error}") from error
    found = {**record, "image": image}
    image.flags.writeable = False
    with self._lock:
      if index not in self._kept:
        self._keep(index, found)
      return self._kept.get(index, found)

  def _keep(self, index: int, record: Mapping[str, Any]) -> None:
    size = record["image"].nbytes
    if self._bytes + size <= self._limit:
      self._bytes += size
      self._kept[index] = record
      return
    if not self._full:
      progress.say(
        f"input: {self._limit / 2**20:.0f} MiB do not hold all {len(self):,} "
        "decoded images; the rest are decoded again in every epoch "
        "(--config.data.cache_mib)"
      )
    self._full = True
