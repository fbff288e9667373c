"""How a process reads a data set: threads, memory. No batch depends on it."""

from __future__ import annotations

from typing import NamedTuple

import grain
import joblib
import ml_collections

from causal_mlr_jax.core import cpu_cores, progress
from causal_mlr_jax.core.errors import UserError

# Of a process's memory, for batches that are ready or under way.
BYTES_AHEAD = 4 * 2**30
# Batches that are ready or under way for each thread, if they fit in there.
AHEAD = 2
# On a single core one thread reads files while the other one decodes.
FEWEST = 2


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
    threads = min(self.threads or max(joblib.cpu_count(), FEWEST), most)
    return grain.ReadOptions(threads, min(AHEAD * threads, most))


DEFAULT = Reading()


def from_config(section: ml_collections.ConfigDict) -> Reading:
  """Returns what the keys of `data` let the input pipeline use.

  Raises:
    UserError: a number below 0.
  """
  for key in ("threads", "cache_mib"):
    if section[key] < 0:
      raise UserError(
        f"data.{key} = {section[key]}: expected 0 or more; 0 means "
        f"{'one for each core' if key == 'threads' else 'none'}."
      )
  return Reading(section.threads, section.cache_mib * 2**20)


def with_own_threads(asked: Reading) -> Reading:
  """Returns it with this process's threads, and says how many they are.

  All processes must call this together: those of a host share its cores.

  Args:
    asked: from `from_config`.
  """
  own = cpu_cores.own_cores()
  threads = asked.threads or max(own, FEWEST)
  progress.say(
    f"input: {threads} threads (--config.data.threads); cores of this process: "
    f"{own}"
  )
  return asked._replace(threads=threads)
