"""A request to stop, polled between steps."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils

# The runtime stops at one more than the highest number that any process has
# asked with. Step numbers will not do: they restart when a second training
# follows a first one, so that the stop would come too late or never.
_asked = itertools.count(1)


class StopRequest:
  """A request to a long loop to save and stop, by SIGTERM or by the caller."""

  def __init__(self):
    self._requested = False

  def set(self) -> None:
    """Asks the loop to save and stop, in this process."""
    self._requested = True

  def now(self) -> bool:
    """Returns whether to stop after this step; the same on all processes.

    With several processes, JAX's own runtime catches the signal in any of them
    and makes all agree on one step; every process must ask after every step.
    """
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(next(_asked))
    return self._requested


@contextmanager
def on_sigterm() -> Iterator[StopRequest]:
  """Turns SIGTERM, a cloud's or scheduler's notice, into a `StopRequest`."""
  stop = StopRequest()
  main = threading.current_thread() is threading.main_thread()
  if jax.process_count() > 1 or not main:
    yield stop  # JAX handles the signal, or this thread would never get it
    return

  def handle(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    stop.set()

  before = signal.signal(signal.SIGTERM, handle)
  try:
    yield stop
  finally:
    signal.signal(signal.SIGTERM, before)
