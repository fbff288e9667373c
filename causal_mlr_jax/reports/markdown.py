"""Markdown of text that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# An underscore inside a word has no meaning, and is left alone.
_MARKS = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)")


def text(value: object) -> str:
  """Returns a value such that Markdown shows it as it is, in one line."""
  shown = "".join(
    char if char.isprintable() else char.encode("unicode_escape").decode()
    for char in str(value)
  )
  return _MARKS.sub(r"\\\g<0>", shown)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Returns a table; columns after the first are right-aligned if numbers.

  Args:
    head: Titles of the columns, Markdown.
    rows: Cells, Markdown.
  """
  rows = [list(row) for row in rows]
  columns = list(zip(*rows, strict=True)) if rows else [()] * len(head)
  rule = [
    "---:" if column and all(map(_number, column)) else "---"
    for column in columns
  ]
  lines = [list(head), rule, *rows]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(cell: str) -> bool:
  return cell == "-" or bool(re.fullmatch(r"[\d.,]+( ± [\d.]+)?", cell))
