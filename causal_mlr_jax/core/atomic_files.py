"""Atomic writes: a temporary file is moved into place once it is complete."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np


def temporary_path(path: pathlib.Path) -> pathlib.Path:
  """Returns a hidden path beside `path` that no other process writes to.

  The process id alone is not unique where several machines or containers share
  a disk, and containers can have the same host name, hence the random part.
  """
  unique = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
  return path.with_name(f".{path.name}.{unique}.tmp")


def check_writable(folder: pathlib.Path) -> None:
  """Checks that files can be written in a folder, creating it if absent.

  Raises:
    OSError: The folder is not writable.
  """
  folder.mkdir(parents=True, exist_ok=True)
  trial = temporary_path(folder / "writable")
  with trial.open("xb"):
    pass
  trial.unlink()


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a temporary file that replaces `path` if the block succeeds."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = temporary_path(path)
  try:
    with temporary.open("xb") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a value as indented JSON; raises ValueError for NaN or infinity."""
  text = json.dumps(value, indent=2, allow_nan=False)
  with replacing(path) as file:
    file.write(text.encode() + b"\n")


def read_json(path: pathlib.Path) -> Any:
  """Reads a JSON file."""
  return json.loads(path.read_text())


def write_arrays(path: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes named arrays to an uncompressed npz file."""
  with replacing(path) as file:
    np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of an npz file; pickled objects are refused."""
  with np.load(path, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}
