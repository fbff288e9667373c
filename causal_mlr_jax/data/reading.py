"""How a host reads a data set: threads and memory. No batch depends on it."""

from __future__ import annotations

import os
from typing import NamedTuple

import grain

# Of a host's memory for batches that are ready or under way.
BYTES_AHEAD = 4 * 2**30
# Batches that are ready or under way for each thread, if they fit in there.
AHEAD = 2


class Reading(NamedTuple):
  """What the input pipeline may use.

  Attributes:
    threads: that make batches, each a whole one; 0 takes one for each core
      that this process may use.
    cache_bytes: for decoded training images that are kept from epoch to epoch.
  """

  threads: int = 0
  cache_bytes: int = 256 * 2**20

  def options(self, batch_bytes: int) -> grain.ReadOptions:
    """Returns threads and batches ahead for batches of so many bytes.

    Args:
      batch_bytes: of this process's part of a batch.
    """
    most = max(1, BYTES_AHEAD // batch_bytes)
    threads = min(self.threads or max(cores(), 2), most)
    return grain.ReadOptions(threads, min(AHEAD * threads, most))


DEFAULT = Reading()


def cores() -> int:
  """Returns how many cores this process may use, as Slurm or taskset say."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
