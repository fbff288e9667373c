"""How many cores a process may use."""

from __future__ import annotations

import os
import socket
import zlib

import jax
import joblib
import numpy as np


def own_cores() -> int:
  """Returns how many cores are this process's own, at least 1.

  As many as its affinity, which Slurm sets, and the quota of its container
  allow. Processes of a run that are given the same cores share them out. All
  processes must call this together.
  """
  cores = joblib.cpu_count()
  if jax.process_count() == 1:
    return cores
  from jax.experimental import multihost_utils

  # Not on macOS, where all processes of a host have the same.
  affinity = getattr(os, "sched_getaffinity", lambda pid: ())
  place = f"{socket.gethostname()} {sorted(affinity(0))}"
  mine = np.asarray(zlib.crc32(place.encode()), np.uint32)
  sharing = np.sum(multihost_utils.process_allgather(mine) == mine)
  return max(1, cores // int(sharing))
