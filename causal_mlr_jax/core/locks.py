"""A file lock between processes on one or several machines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import IO

from causal_mlr_jax.core import progress


@contextlib.contextmanager
def held(path: pathlib.Path, does: str) -> Iterator[None]:
  """Waits for a lock file, holds it during the block, then removes it.

  The operating system releases the lock if the process dies. The file's folder
  and that folder's parent are removed too if they are empty.

  Args:
    path: Path of the lock file.
    does: What a process that holds the lock does, such as 'prepares coco';
      shown to processes that wait.

  Raises:
    OSError: The file cannot be written.
  """
  with _acquired(path, does):
    try:
      yield
    finally:
      path.unlink(missing_ok=True)
      with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()


def _acquired(path: pathlib.Path, does: str) -> IO[str]:
  while True:
    with contextlib.ExitStack() as stack:
      # The previous holder may remove the folders between any of these lines.
      stack.enter_context(contextlib.suppress(FileNotFoundError))
      try:
        path.parent.mkdir(parents=True, exist_ok=True)
      except FileExistsError:  # also raised if the folder has just vanished
        if path.parent.is_file():
          raise
        continue
      file = stack.enter_context(path.open("w"))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        progress.say(f"waiting: another process {does}")
        fcntl.flock(file, fcntl.LOCK_EX)
      # The previous holder removes its file; a lock on that file is worthless.
      if os.path.samestat(os.fstat(file.fileno()), path.stat()):
        stack.pop_all()
        return file
