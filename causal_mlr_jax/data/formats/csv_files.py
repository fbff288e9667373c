"""Reads the rows of a CSV file by the names of their columns."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import annotation_files
from causal_mlr_jax.data.formats.annotation_files import Problems


def read(
  path: pathlib.Path, columns: Mapping[str, str], problems: Problems
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields the cells of some columns, row by row.

  A column that none of its names stands for is the one in its place, if that
  has an unknown name.

  Args:
    path: a CSV file, UTF-8, with a header.
    columns: name of a column in the file to the key of its cells; the keys
      in the order of their places.
    problems: takes missing and double columns, after which there are no rows,
      and rows of another length.

  Returns:
    An iterator over the number of a row's last line, and its cells by key.

  Raises:
    UserError: it cannot be read, or is no CSV.
  """
  header, rows = read_table(path)
  keys = [columns.get(name) for name in header]
  wanted = list(dict.fromkeys(columns.values()))
  for place, key in enumerate(wanted[: len(keys)]):
    if key not in keys and keys[place] is None:
      keys[place] = key
  whole = True
  for key in wanted:
    if keys.count(key) != 1:
      whole = False
      names = " or ".join(name for name, k in columns.items() if k == key)
      problems.add(f"{path.name}:1: {keys.count(key)} columns {names}, not one")
  for number, cells in rows if whole else ():
    if len(cells) == len(keys):
      named = zip(keys, cells, strict=True)
      yield number, {key: cell for key, cell in named if key is not None}
    else:
      problems.add(wrong_length(path.name, number, cells, header))


def wrong_length(
  name: str, number: int, cells: list[str], header: list[str]
) -> str:
  """Says that a row has another number of cells than the header."""
  return (
    f"{name}:{number}: {len(cells)} cells, expected {len(header)}; a cell with "
    'a comma stands in "quotes"'
  )


def read_table(
  path: pathlib.Path,
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
  """Returns the header, and an iterator over the rows that are not blank.

  Raises:
    UserError: it cannot be read, is empty, or is no CSV.
  """
  # The reader knows all line ends, and those inside quotes.
  reader = csv.reader(
    io.StringIO(annotation_files.read_text(path), newline=""), strict=True
  )

  def rows() -> Iterator[tuple[int, list[str]]]:
    try:
      for cells in reader:
        if any(cell.strip() for cell in cells):
          yield reader.line_num, cells
    except csv.Error as error:
      raise UserError(
        f"{path}:{reader.line_num} is no line of CSV: {error}. Cells are "
        'separated by commas; one with a comma stands in "quotes".'
      ) from None

  lines = rows()
  _, header = next(lines, (0, []))
  if not header:
    raise UserError(f"{path} is empty: expected a header and rows.")
  return [name.strip() for name in header], lines
