"""The number of CPU cores that a process may use."""

from __future__ import annotations

import os
import socket
import zlib

import jax
import joblib
import numpy as np


def share_of_cores() -> int:
  """Returns this process's share of the CPU cores, at least 1.

  The count respects the CPU affinity, which Slurm sets, and the container's
  quota. Processes of a run that have the same cores divide them equally. All
  processes must call this together.
  """
  cores = joblib.cpu_count()
  if jax.process_count() == 1:
    return cores
  from jax.experimental import multihost_utils

  # macOS has no affinity: there, all processes of a host share all cores.
  affinity = getattr(os, "sched_getaffinity", lambda pid: ())
  place = f"{socket.gethostname()} {sorted(affinity(0))}"
  mine = np.asarray(zlib.crc32(place.encode()), np.uint32)
  sharing = np.sum(multihost_utils.process_allgather(mine) == mine)
  return max(1, cores // int(sharing))
