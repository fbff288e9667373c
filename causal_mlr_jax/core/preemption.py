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

# The runtime stops at the highest count that a process has asked with, plus
# one. Steps begin anew where a second training follows a first one: there the
# count would pass by, or come up far too late.
_asked = itertools.count(1)


class StopRequest:
  """Asks a long loop to save and stop: by SIGTERM, or by the caller."""

  def __init__(self):
    self._requested = False

  def set(self) -> None:
    """Asks the loop to save and stop, in this process."""
    self._requested = True

  def now(self) -> bool:
    """Says whether to stop after this step; the same on all processes.

    With several processes JAX's own runtime hears the signal in any of them
    and lets all agree on one step; every process must ask after every step.
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
    yield stop  # JAX listens itself; and signals reach the main thread alone
    return

  def handle(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    stop.set()

  before = signal.signal(signal.SIGTERM, handle)
  try:
    yield stop
  finally:
    signal.signal(signal.SIGTERM, before)
