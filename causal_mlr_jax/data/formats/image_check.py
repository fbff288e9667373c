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
# Pillow's modes of greys with 16 bits; colours with 16 it reads as 8.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")
# Modes that decoding turns into RGB with 8 bits.
MODES = (
  *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"),
  *("CMYK", "YCbCr", *DEEP_MODES),
)


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
        return Checked(b"", f"has pixels of the unknown kind {image.mode}")
      image.load()
  except MemoryError:
    raise
  except Exception as error:  # Pillow raises nearly every kind of exception
    text = str(error).partition(" <_io")[0]  # drops the object's address
    return Checked(b"", f"cannot be decoded: {text}")
  return Checked(data, "")
