"""Threads and memory for reading a data set; batches do not depend on them."""

from __future__ import annotations

from typing import NamedTuple

import grain
import joblib
import ml_collections

from causal_mlr_jax.core import cpu_cores, progress
from causal_mlr_jax.core.errors import UserError

# Memory of a process for batches that are prefetched.
BYTES_AHEAD = 4 * 2**30
# Number of prefetched batches per thread, if they fit into that memory.
AHEAD = 2
# Even on a single core, one thread can read files while the other decodes.
FEWEST = 2


class Reading(NamedTuple):
  """The resources of the input pipeline.

  Attributes:
    threads: Number of threads, each of which makes whole batches; 0 means one
      per core that this process may use.
    cache_bytes: Memory for decoded training images, kept from epoch to epoch.
  """

  threads: int = 0
  cache_bytes: int = 256 * 2**20

  def options(self, batch_bytes: int) -> grain.ReadOptions:
    """Returns Grain's options: threads and number of prefetched batches.

    Args:
      batch_bytes: Size of this process's part of a batch.
    """
    most = max(1, BYTES_AHEAD // batch_bytes)
    threads = min(self.threads or max(joblib.cpu_count(), FEWEST), most)
    return grain.ReadOptions(threads, min(AHEAD * threads, most))


DEFAULT = Reading()


def from_config(section: ml_collections.ConfigDict) -> Reading:
  """Returns the resources that the section `data` of a configuration sets.

  Raises:
    UserError: A number is below 0.
  """
  for key in ("threads", "cache_mib"):
    if section[key] < 0:
      raise UserError(
        f"data.{key} = {section[key]}: expected 0 or more; 0 means "
        f"{'one per core' if key == 'threads' else 'none'}."
      )
  return Reading(section.threads, section.cache_mib * 2**20)


def with_thread_count(asked: Reading) -> Reading:
  """Sets the number of threads of this process, and reports it.

  All processes must call this together: those of a host share its cores.

  Args:
    asked: Resources from `from_config`.
  """
  own = cpu_cores.share_of_cores()
  threads = asked.threads or max(own, FEWEST)
  progress.say(
    f"input: {threads} threads (--config.data.threads); cores of this process: "
    f"{own}"
  )
  return asked._replace(threads=threads)
