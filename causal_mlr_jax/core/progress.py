"""Progress of long stages: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from rich import console, progress

LINE_EVERY_SECONDS = 10.0


class Bar:
  """Counts the finished units of one stage and shows their rate."""

  def __init__(self, stage: str, total: int, unit: str, done: int):
    self._stage, self._total, self._unit = stage, total, unit
    self._done = self._start = done
    self._began = self._said = self._created = time.monotonic()
    self._first = done
    self._values: dict[str, Any] = {}
    self._bar: progress.Progress | None = None
    self._task: progress.TaskID | None = None
    if sys.stderr.isatty():
      self._bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
      )
      self._task = self._bar.add_task(
        stage, total=total, completed=done, note=""
      )
      self._bar.start()

  def advance(self, units: int = 1, **values: Any) -> None:
    """Counts `units` more as done.

    Args:
      units: Number of units.
      **values: Values to show beside the count until they are next given, for
        example loss=0.31.
    """
    if self._start == self._first and units:
      # The first units include compilation, so the rate leaves them out.
      self._start, self._began = units + self._done, time.monotonic()
    self._done += units
    self._values |= values
    if self._bar is not None and self._task is not None:
      note = f"{self._rate():.0f} {self._unit}/s  {self._note()}"
      self._bar.update(self._task, completed=self._done, note=note)
    elif time.monotonic() - self._said > LINE_EVERY_SECONDS:
      self._say()

  def close(self) -> None:
    """Ends the stage and leaves its last state visible."""
    if self._bar is not None:
      self._bar.stop()
    else:
      self._say()

  def _rate(self) -> float:
    elapsed = time.monotonic() - self._began
    units = self._done - self._start
    if units == 0:  # there were no units after the first ones
      elapsed, units = (
        time.monotonic() - self._created,
        self._done - self._first,
      )
    return units / max(elapsed, 1e-3)

  def _note(self) -> str:
    return "  ".join(f"{k} {_short(v)}" for k, v in self._values.items())

  def _say(self) -> None:
    self._said = time.monotonic()
    rate = self._rate()
    left = (self._total - self._done) / rate if rate > 0 else float("inf")
    print(
      f"{self._stage}: {self._done}/{self._total}  "
      f"{rate:.0f} {self._unit}/s  {self._note()}  left {left:.0f} s",
      file=sys.stderr,
      flush=True,
    )


@contextlib.contextmanager
def bar(
  stage: str, total: int, unit: str = "images", done: int = 0
) -> Iterator[Bar]:
  """Opens the progress bar of a stage.

  Args:
    stage: Name of the stage, for example "training".
    total: Total number of units.
    unit: What is counted.
    done: Units done before the run was resumed.
  """
  shown = Bar(stage, total, unit, done)
  try:
    yield shown
  finally:
    shown.close()


def say(message: str) -> None:
  """Prints one line about the program's current work to standard error."""
  print(message, file=sys.stderr, flush=True)


def _short(value: Any) -> str:
  return f"{value:.4g}" if isinstance(value, float) else str(value)
