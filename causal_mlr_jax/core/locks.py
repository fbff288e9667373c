"""A lock that processes of one or several machines wait for."""

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
  """Holds a lock file, which goes away with the lock.

  The system lets go of it when the process ends. Folders that were made for
  the file, up to two, go away too if nothing else came to lie in them.

  Args:
    path: of the file.
    does: what another process does that holds it, such as 'prepares coco'.

  Raises:
    OSError: the file cannot be written.
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
      # Whoever held it may remove the folders between any two of these lines.
      stack.enter_context(contextlib.suppress(FileNotFoundError))
      try:
        path.parent.mkdir(parents=True, exist_ok=True)
      except FileExistsError:  # also where the folder went away just now
        if path.parent.is_file():
          raise
        continue
      file = stack.enter_context(path.open("w"))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        progress.say(f"waiting: another process {does}")
        fcntl.flock(file, fcntl.LOCK_EX)
      # Whoever held it removes it: then another file has its place.
      if os.path.samestat(os.fstat(file.fileno()), path.stat()):
        stack.pop_all()
        return file
