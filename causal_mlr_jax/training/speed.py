"""How fast training is, and how long it waits for images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


class Speed:
  """Measures the time of the steps since the last line of the log.

  The time between a line and the next batch, such as that of a validation, does
  not count.
  """

  def __init__(self):
    self._begin: float | None = None
    self._waited, self._batches = 0.0, 0

  def next(self, iterator: Iterator[Any]) -> Any:
    """Returns the next batch, and measures how long that takes."""
    start = time.monotonic()
    self._begin = start if self._begin is None else self._begin
    batch = next(iterator)
    self._waited += time.monotonic() - start
    self._batches += 1
    return batch

  def read(self, batch_size: int) -> dict[str, float]:
    """Returns the speed and the waiting since the last call, and starts anew.

    Args:
      batch_size: Number of images in a batch of all processes.
    """
    if self._begin is None:
      return {}
    seconds = max(time.monotonic() - self._begin, 1e-9)
    found = {
      "images_per_second": self._batches * batch_size / seconds,
      "waiting_percent": 100 * self._waited / seconds,
    }
    self._begin, self._waited, self._batches = None, 0.0, 0
    return found
