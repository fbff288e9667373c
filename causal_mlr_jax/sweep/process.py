"""Starts the process of a run, and passes signals on to it."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from causal_mlr_jax.core import errors, progress

TAIL_LINES = 20
STOPPED = "stopped; the same command goes on from there"
PREEMPTED = (errors.EXIT_PREEMPTED, -signal.SIGTERM)
INTERRUPTED = (errors.EXIT_INTERRUPTED, -signal.SIGINT)


class Stop:
  """Hears SIGTERM and passes it on to the run that is being made.

  Attributes:
    requested: whether it came.
  """

  def __init__(self):
    self.requested = False
    self._child: subprocess.Popen | None = None

  @contextlib.contextmanager
  def listening(self) -> Iterator[Stop]:
    """Listens, in the main thread."""
    before = signal.signal(signal.SIGTERM, self._handle)
    try:
      yield self
    finally:
      signal.signal(signal.SIGTERM, before)

  def _handle(self, signum: int, frame: FrameType | None) -> None:
    del signum, frame
    self.requested = True
    if self._child is not None:
      self._child.terminate()

  def wait(self, child: subprocess.Popen) -> int:
    """Waits for a process and returns its exit code."""
    self._child = child
    if self.requested:  # before there was a child to pass it on to
      child.terminate()
    try:
      return child.wait()
    except KeyboardInterrupt:
      # A terminal interrupts both; who interrupts this process alone leaves
      # the other one running.
      with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5)
      child.terminate()
      child.wait()
      raise
    finally:
      self._child = None


def execute(
  arguments: Sequence[str], folder: pathlib.Path, claim: int, stop: Stop
) -> dict[str, Any]:
  """Runs `causal_mlr_jax.main` and returns what came of it.

  What it says goes to stdout.log and stderr.log in the folder.

  Args:
    arguments: of the program.
    folder: of the run.
    claim: file descriptor that the process keeps open.
    stop: passes signals on.

  Returns:
    `exit_code`, `reason` and the last lines of `stderr`, and the `time`.

  Raises:
    Preempted: it was asked to stop.
    KeyboardInterrupt: it was interrupted.
  """
  command = [sys.executable, "-m", "causal_mlr_jax.main", *arguments]
  path = folder / "stderr.log"
  progress.say(f"running: {path}")
  with (folder / "stdout.log").open("ab") as out, path.open("ab") as err:
    err.write(f"started: {shlex.join(command)}\n".encode())
    err.flush()
    start = err.tell()
    child = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=out,
      stderr=err,
      pass_fds=(claim,),
    )
    code = stop.wait(child)
  if code in PREEMPTED or (code and stop.requested):
    raise errors.Preempted(STOPPED)
  if code in INTERRUPTED:
    raise KeyboardInterrupt
  said = _last_lines(path, start)
  errors_said = [line for line in said if line.startswith("error: ")]
  reason = (errors_said or said or ["it said nothing"])[-1]
  return {
    "exit_code": code,
    "reason": reason.removeprefix("error: ").strip(),
    "stderr": said,
    "time": time.time(),
  }


def _last_lines(path: pathlib.Path, start: int) -> list[str]:
  with path.open("rb") as file:
    file.seek(start)
    lines = file.read().decode(errors="replace").splitlines()
  return [line for line in lines if line.strip()][-TAIL_LINES:]
