"""Logs of scalars by step: metrics.jsonl and TensorBoard events."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import TextIO

import jax
import tensorboardX

from causal_mlr_jax.core import atomic_files, parallel

# The log of what depends on the machine.
SPEED = "speed.jsonl"


class Writer:
  """Appends scalars to `metrics.jsonl` and to TensorBoard events.

  Only the first of several processes writes.
  """

  def __init__(self, directory: pathlib.Path, start_step: int):
    """Opens the logs of a run.

    Args:
      directory: The run's folder.
      start_step: Step that the run continues from; lines of later steps, left
        by an interrupted run, are removed.
    """
    self._file: TextIO | None = None
    self._events: tensorboardX.SummaryWriter | None = None
    with parallel.wait_for_all():
      if jax.process_index() == 0:
        self._open(directory, start_step)

  def _open(self, directory: pathlib.Path, start_step: int) -> None:
    self._path = directory / "metrics.jsonl"
    for path in (self._path, directory / SPEED):
      if path.exists():
        _drop_after(path, start_step)
    self._file = self._path.open("a")
    self._events = tensorboardX.SummaryWriter(
      str(directory / "tensorboard"), purge_step=start_step + 1
    )

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Writes one line with named scalars."""
    if self._file is None or self._events is None:
      return
    self._file.write(json.dumps({"step": step, **values}) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(name, value, step)

  def write_speed(self, step: int, values: Mapping[str, float]) -> None:
    """Adds a line to speed.jsonl, which is another one in every run.

    It is a file of its own so that equal runs have equal metrics.jsonl.
    """
    if self._file is not None and values:
      with (self._path.parent / SPEED).open("a") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")

  def close(self) -> None:
    """Flushes and closes both logs."""
    if self._file is None or self._events is None:
      return
    self._file.close()
    self._events.close()


def _drop_after(path: pathlib.Path, step: int) -> None:
  """Removes the lines of later steps from a log."""
  kept = []
  for line in path.read_text().splitlines():
    # If the run was killed while it wrote a line, that line is not JSON.
    try:
      row = json.loads(line)
    except json.JSONDecodeError:
      continue
    if row["step"] <= step:
      kept.append(line + "\n")
  with atomic_files.replacing(path) as file:
    file.write("".join(kept).encode())
