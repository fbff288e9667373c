"""Checks that encoded images can be decoded in training."""

from __future__ import annotations

import contextlib
import io
import pathlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
# Modes that Pillow converts to 8-bit RGB without loss. Grey PNG with 16 bits is
# none of them: Pillow clips its values at 255.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class Checked(NamedTuple):
  """The result of checking an image file.

  Attributes:
    data: Unchanged bytes of the file; empty if there is a problem.
    problem: Why the image cannot be used, '' if it can.
  """

  data: bytes
  problem: str


@contextlib.contextmanager
def strict() -> Iterator[None]:
  """Turns Pillow's warning about oversized images into an error."""
  with warnings.catch_warnings():
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    yield


def check(path: pathlib.Path) -> Checked:
  """Reads an image file and decodes it completely; call it within `strict`.

  JPEG and PNG are accepted, whatever the file is called. Damage that Pillow
  cannot detect is not found: a JPEG with a few wrong bits decodes to wrong
  pixels.

  Args:
    path: Path of the file.
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
    text = str(error).partition(" <_io")[0]  # drops the object's address
    return Checked(b"", f"cannot be decoded: {text}")
  return Checked(data, "")
