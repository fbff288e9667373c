"""Reads the rows of a CSV file by the names of the columns."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import reading
from causal_mlr_jax.data.formats.reading import Problems


def read(
  path: pathlib.Path, columns: Mapping[str, str], problems: Problems
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields the cells of some columns, row by row.

  A key whose names are not in the header takes the column in its own place, if
  the name of that column is unknown.

  Args:
    path: CSV file, UTF-8, with a header.
    columns: Key of the cells by name of the column in the file; the order of
      the keys is that of their places.
    problems: Receives missing and duplicate columns, in which case no rows are
      yielded, and rows of another length.

  Returns:
    An iterator over the number of each row's last line, and its cells by key.

  Raises:
    UserError: The file cannot be read, or is not valid CSV.
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
      problems.add(
        f"{path.name}:1: {keys.count(key)} columns {names}, expected one"
      )
  for number, cells in rows if whole else ():
    if len(cells) == len(keys):
      named = zip(keys, cells, strict=True)
      yield number, {key: cell for key, cell in named if key is not None}
    else:
      problems.add(wrong_length(path.name, number, cells, header))


def wrong_length(
  name: str, number: int, cells: list[str], header: list[str]
) -> str:
  """Returns the message for a row with fewer or more cells than the header."""
  return (
    f"{name}:{number}: {len(cells)} cells, expected {len(header)}; a cell that "
    'contains a comma must be in "quotes"'
  )


def read_table(
  path: pathlib.Path,
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
  """Returns the header, and an iterator over the rows that are not blank.

  Raises:
    UserError: The file cannot be read, is empty, or is not valid CSV.
  """
  # The reader handles all line ends itself, also those inside quotes.
  reader = csv.reader(
    io.StringIO(reading.read_text(path), newline=""), strict=True
  )

  def rows() -> Iterator[tuple[int, list[str]]]:
    try:
      for cells in reader:
        if any(cell.strip() for cell in cells):
          yield reader.line_num, cells
    except csv.Error as error:
      raise UserError(
        f"{path}:{reader.line_num} is not valid CSV: {error}. Cells are "
        'separated by commas; a cell that contains one must be in "quotes".'
      ) from None

  lines = rows()
  _, header = next(lines, (0, []))
  if not header:
    raise UserError(f"{path} is empty: expected a header and rows.")
  return [name.strip() for name in header], lines
