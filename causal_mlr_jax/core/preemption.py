"""A request to stop, polled between steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
  """Set once, by a signal or by the caller; read by long loops."""

  def __init__(self):
    self.requested = False

  def set(self) -> None:
    """Asks the loops to save and stop."""
    self.requested = True


@contextmanager
def on_sigterm() -> Iterator[StopRequest]:
  """Turns SIGTERM, a cloud's or scheduler's notice, into a `StopRequest`."""
  stop = StopRequest()
  if threading.current_thread() is not threading.main_thread():
    yield stop  # signals reach the main thread alone
    return

  def handle(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    stop.set()

  before = signal.signal(signal.SIGTERM, handle)
  try:
    yield stop
  finally:
    signal.signal(signal.SIGTERM, before)
