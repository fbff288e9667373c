"""Reads DeepFashion's table of attributes: 289,222 lines of 1,000 values.

A line is a path and then -1, 0 or 1 for each attribute, between blanks. The
file is near a gigabyte, so whole pieces of it are read as arrays of bytes; a
piece that is not exactly so is read again line by line, to name what is wrong.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import annotation_files
from causal_mlr_jax.data.formats.annotation_files import Problems

PIECE = 1 << 20  # bytes that are read at once
ROWS = 1 << 14  # that are unpacked at once
VALUES = {b"-1", b"0", b"1"}
_MINUS, _ZERO, _ONE, _LINE_END = b"-01\n"
_BLANKS = np.zeros(256, bool)
_BLANKS[list(b" \t\r\n\v\f")] = True  # what bytes.split takes for blanks


class AttributeTable(NamedTuple):
  """Which image has which attributes.

  Attributes:
    paths: of M images, with '/'.
    packed: 1 for the value 1, 0 for 0 and -1; uint8 [M, ceil(N / 8)], see
      `numpy.unpackbits`.
    num_attributes: N.
  """

  paths: list[str]
  packed: np.ndarray
  num_attributes: int

  def counts(self, rows: np.ndarray) -> np.ndarray:
    """Returns how many of some images have each attribute, int64 [N]."""
    parts = self._unpacked(self.packed[rows])
    zeros_N = np.zeros(self.num_attributes, np.int64)
    return sum((part.sum(0, dtype=np.int64) for part in parts), zeros_N)

  def columns(self, chosen: np.ndarray) -> np.ndarray:
    """Returns some attributes of all images, uint8 [M, chosen]."""
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
    path: the file.
    num_attributes: N, values that each line must have.

  Raises:
    UserError: lines that do not fit, or another number of lines than the
      first one says.
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
      f"{path.name}:1: says {count} images, {len(paths)} lines follow; was it "
      "copied as a whole?"
    )
  problems.raise_if_any(str(path), "Get the official file again.")
  return AttributeTable(paths, np.concatenate(packed), num_attributes)


def read_header(path: pathlib.Path) -> list[str]:
  """Returns the lines of a file after its count and its header.

  Raises:
    UserError: the first line is no number, or not that of the lines.
  """
  lines = annotation_files.read_lines(path)
  first = lines[0].strip() if lines else ""
  if not first.isdecimal() or int(first) != len(lines) - 2:
    raise UserError(
      f"{path}:1: got {first[:40]!r} and then {max(len(lines) - 2, 0)} lines "
      "after a header: expected their number. Was it copied as a whole?"
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
  """Yields the first line's number, the paths and the rests of some lines."""
  number = 3
  while lines := file.readlines(PIECE):
    # Blank lines stand at the end alone, else the numbers below are off.
    halves = [line.split(None, 1) for line in lines if line.strip()]
    yield (
      number,
      [half[0] for half in halves],
      [half[1].rstrip() if len(half) == 2 else b"" for half in halves],
    )
    number += len(lines)


def _positives(rests: list[bytes], width: int) -> np.ndarray | None:
  """Returns which values are 1, bool [lines, width]; None if any is odd."""
  text = np.frombuffer(b"\n".join([b"", *rests, b""]), np.uint8)
  digit = (text == _ZERO) | (text == _ONE)
  minus = text == _MINUS
  blank = _BLANKS[text]
  # Blanks, digits before blanks, and minus signs before a 1: nothing else.
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
    return annotation_files.relative_path(path.decode())
  except ValueError as error:  # a decoding error is one, too
    problems.add(f"{name}:{line}: {error}")
    return ""
