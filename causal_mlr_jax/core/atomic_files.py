"""Files that are whole or absent: written beside their place, then moved."""

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

  Process numbers are not enough where several machines, or containers, share
  a disk: they repeat, and so do the host names of containers.
  """
  unique = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
  return path.with_name(f".{path.name}.{unique}.tmp")


def check_writable(folder: pathlib.Path) -> None:
  """Checks that files can be written in a folder, which is made if absent.

  Raises:
    OSError: they cannot.
  """
  folder.mkdir(parents=True, exist_ok=True)
  trial = temporary_path(folder / "writable")
  with trial.open("xb"):
    pass
  trial.unlink()


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a temporary file that becomes `path` when all was written."""
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
  """Writes a value as indented JSON; NaN is an error, not a silent token."""
  text = json.dumps(value, indent=2, allow_nan=False)
  with replacing(path) as file:
    file.write(text.encode() + b"\n")


def read_json(path: pathlib.Path) -> Any:
  """Reads a JSON file."""
  return json.loads(path.read_text())


def write_arrays(path: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes arrays by name as an uncompressed npz file."""
  with replacing(path) as file:
    np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of an npz file; refuses pickled objects."""
  with np.load(path, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}
