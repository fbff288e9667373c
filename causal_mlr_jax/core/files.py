"""Files that are whole or absent: written beside their place, then moved."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a temporary file that becomes `path` when all was written."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    with temporary.open("wb") as file:
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
    np.savez(file, **arrays)


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of an npz file; refuses pickled objects."""
  with np.load(path, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}
