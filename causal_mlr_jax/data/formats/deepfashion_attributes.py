"""Reads DeepFashion's table of attributes: 289,222 lines of 1,000 values.

A line is a path followed by -1, 0 or 1 for each attribute, separated by blanks.
The file is almost a gigabyte, so large pieces are parsed as arrays of bytes. A
piece with an error is parsed again line by line, to report what is wrong.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import reading
from causal_mlr_jax.data.formats.reading import Problems

PIECE = 1 << 20  # bytes that are read at once
ROWS = 1 << 14  # rows that are unpacked at once
VALUES = {b"-1", b"0", b"1"}
_MINUS, _ZERO, _ONE, _LINE_END = b"-01\n"
_BLANKS = np.zeros(256, bool)
_BLANKS[list(b" \t\r\n\v\f")] = True  # the separators of bytes.split


class AttributeTable(NamedTuple):
  """The attributes of each image.

  Attributes:
    paths: Paths of M images, with '/'.
    packed: Bits that are 1 for the value 1, and 0 for 0 and -1; uint8
      [M, ceil(N / 8)], see `numpy.unpackbits`.
    num_attributes: N.
  """

  paths: list[str]
  packed: np.ndarray
  num_attributes: int

  def counts(self, rows: np.ndarray) -> np.ndarray:
    """Returns how many images in `rows` have each attribute, int64 [N]."""
    parts = self._unpacked(self.packed[rows])
    zeros_N = np.zeros(self.num_attributes, np.int64)
    return sum((part.sum(0, dtype=np.int64) for part in parts), zeros_N)

  def columns(self, chosen: np.ndarray) -> np.ndarray:
    """Returns the chosen attributes of all images, uint8 [M, chosen]."""
    parts = self._unpacked(self.packed)
    return np.concatenate([part[:, chosen] for part in parts])

  def _unpacked(self, packed: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(packed), ROWS):
      yield np.unpackbits(
        packed[start : start + ROWS], axis=1, count=self.num_attributes
      )


def read(path: pathlib.Path, num_attributes: int) -> AttributeTable:
  """Reads `list_attr_img.txt`.

  Args:
    path: Path of the file.
    num_attributes: N, the number of values that each line must have.

  Raises:
    UserError: Lines are malformed, or their number is not the one in the first
      line.
  """
  problems = Problems()
  paths: list[str] = []
  packed = [np.zeros((0, -(-num_attributes // 8)), np.uint8)]
  with path.open("rb") as file:
    count = _read_count(path, file)
    with progress.bar(f"reading {path.name}", count, "lines") as bar:
      for start, names, rests in _pieces(file):
        has = _positives(rests, num_attributes)
        if has is None:
          _explain(path.name, start, rests, num_attributes, problems)
        else:
          packed.append(np.packbits(has, axis=1))
        for i, name in enumerate(names):
          paths.append(_relative(path.name, start + i, name, problems))
        bar.advance(len(names))
  if len(paths) != count:
    problems.add(
      f"{path.name}:1: says {count} images, but {len(paths)} lines follow; was "
      "the file copied completely?"
    )
  problems.raise_if_any(str(path), "Get the official file again.")
  return AttributeTable(paths, np.concatenate(packed), num_attributes)


def read_header(path: pathlib.Path) -> list[str]:
  """Returns the lines of a file that follow the line count and the header.

  Raises:
    UserError: The first line is not the number of these lines.
  """
  lines = reading.read_lines(path)
  first = lines[0].strip() if lines else ""
  if not first.isdecimal() or int(first) != len(lines) - 2:
    raise UserError(
      f"{path}:1: got {first[:40]!r}, but {max(len(lines) - 2, 0)} lines "
      "follow the header: expected their number. Was the file copied "
      "completely?"
    )
  return lines[2:]


def _read_count(path: pathlib.Path, file: BinaryIO) -> int:
  first = file.readline(100).removeprefix(b"\xef\xbb\xbf").strip()
  file.readline()
  if not first.isdigit():
    raise UserError(
      f"{path}:1: got {first[:40].decode(errors='replace')!r}, expected the "
      "number of images. Get the official file again."
    )
  return int(first)


def _pieces(
  file: BinaryIO,
) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
  """Yields, for some lines, the first one's number, the paths and the rests."""
  number = 3
  while lines := file.readlines(PIECE):
    # Blank lines are expected only at the end; others shift the line numbers.
    halves = [line.split(None, 1) for line in lines if line.strip()]
    yield (
      number,
      [half[0] for half in halves],
      [half[1].rstrip() if len(half) == 2 else b"" for half in halves],
    )
    number += len(lines)


def _positives(rests: list[bytes], width: int) -> np.ndarray | None:
  """Returns which values are 1, bool [lines, width]; None if any is invalid."""
  text = np.frombuffer(b"\n".join([b"", *rests, b""]), np.uint8)
  digit = (text == _ZERO) | (text == _ONE)
  minus = text == _MINUS
  blank = _BLANKS[text]
  # Only blanks, digits before blanks, and minus signs before a 1 are valid.
  if not (
    (digit | minus | blank).all()
    and blank[1:][digit[:-1]].all()
    and (text[1:][minus[:-1]] == _ONE).all()
  ):
    return None
  places = np.flatnonzero(digit)
  ends = np.searchsorted(places, np.flatnonzero(text == _LINE_END))
  if (np.diff(ends) != width).any():
    return None
  has = (text[places] == _ONE) & ~minus[places - 1]
  return has.reshape(len(rests), width)


def _explain(
  name: str, start: int, rests: list[bytes], width: int, problems: Problems
) -> None:
  for i, rest in enumerate(rests):
    values = rest.split()
    odd = set(values) - VALUES
    if odd:
      got = min(odd)[:40].decode(errors="replace")
      problems.add(f"{name}:{start + i}: value {got!r}, expected -1, 0 or 1")
    if len(values) != width:
      problems.add(
        f"{name}:{start + i}: {len(values)} values, expected {width}"
      )


def _relative(name: str, line: int, path: bytes, problems: Problems) -> str:
  try:
    return reading.relative_path(path.decode())
  except ValueError as error:  # includes decoding errors
    problems.add(f"{name}:{line}: {error}")
    return ""
