"""Checks encoded images: every one that is kept decodes in training."""

from __future__ import annotations

import contextlib
import io
import pathlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
# What becomes RGB without loss of its 8 bits. Grey PNG of 16 bits does not:
# Pillow cuts it off at 255.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class Checked(NamedTuple):
  """An image file as it was read.

  Attributes:
    data: its bytes, untouched; empty where there is a problem.
    problem: why it cannot be used, '' where it can.
  """

  data: bytes
  problem: str


@contextlib.contextmanager
def strict() -> Iterator[None]:
  """Makes Pillow's warning of a too large image an error, in all threads."""
  with warnings.catch_warnings():
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    yield


def check(path: pathlib.Path) -> Checked:
  """Reads an image file and decodes all of it; to be called within `strict`.

  JPEG and PNG are good, whatever the name of the file says. What Pillow cannot
  see is not found: a JPEG with wrong bits in its middle decodes to other
  pixels.

  Args:
    path: of the file.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    return Checked(b"", f"cannot be read: {error.strerror}")
  if not data:
    return Checked(b"", "is empty")
  if not data.startswith(SIGNATURES):
    return Checked(b"", f"is neither JPEG nor PNG, it begins with {data[:8]!r}")
  try:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
      if image.mode not in MODES:
        return Checked(b"", f"has pixels of the kind {image.mode}, not 8 bits")
      image.load()
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    text = str(error).partition(" <_io")[0]  # an address says nothing
    return Checked(b"", f"cannot be decoded: {text}")
  return Checked(data, "")
