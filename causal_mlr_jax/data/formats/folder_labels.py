"""Finds and reads the files with the labels of a folder of images.

CSV and JSON lines are read here, JSON in `folder_json.py`. The docstring
of `builders/folder.py` describes the formats.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import (
  csv_files,
  folder_json,
  reading,
)
from causal_mlr_jax.data.formats.folder_json import Annotated, Entry
from causal_mlr_jax.data.formats.reading import (
  NAMED,
  SPLIT_NAMES,
  Problems,
)

LINES = "metadata.jsonl"
ENDINGS = (".csv", ".json", ".jsonl")
SET_IT = "--config.data.options.annotations"
# Files by split; the split is '' for a file that is not of one split.
Files = Mapping[str, pathlib.Path]


def find(manual_dir: pathlib.Path, given: str, layout: str) -> Files:
  """Returns the annotation files.

  Args:
    manual_dir: Folder to search.
    given: A file in it, or 'train=FILE,validation=FILE,test=FILE'; '' searches
      for the files.
    layout: Expected files, for messages.

  Raises:
    UserError: There is no such file, or more than one choice.
  """
  choices = _choices(manual_dir)
  found = [", ".join(_names(files, manual_dir)) for files in choices]
  more = f"\n  and {len(found) - NAMED} more" if len(found) > NAMED else ""
  there = "".join(f"\n  {names}" for names in found[:NAMED]) + more
  if given:
    return _given(manual_dir, given, there or " nothing")
  if not choices:
    raise UserError(
      f"{manual_dir} holds no file with labels. Expected one of\n{layout}\n"
      f"If the file has another name, set {SET_IT} to it."
    )
  if len(choices) > 1:
    raise UserError(
      f"{manual_dir} holds more than one file with labels:{there}\n"
      f"Set {SET_IT} to one of them, or to "
      "train=FILE,validation=FILE,test=FILE."
    )
  return choices[0]


def _names(files: Files, manual_dir: pathlib.Path) -> list[str]:
  return [file.relative_to(manual_dir).as_posix() for file in files.values()]


def _choices(manual_dir: pathlib.Path) -> list[Files]:
  """Returns the candidates: sets of one file per split, and single files."""
  if not manual_dir.is_dir():
    return []
  entries = sorted(
    entry for entry in manual_dir.iterdir() if not entry.name.startswith(".")
  )
  groups: dict[str, dict[str, pathlib.Path]] = {}
  alone: list[Files] = []
  for entry in entries:
    split = SPLIT_NAMES.get(entry.stem.lower())
    if entry.is_dir():
      kind, file = "folders", entry / LINES
      if split is None or not file.is_file():
        continue
    else:
      kind, file = entry.suffix.lower(), entry
      if kind not in ENDINGS or (kind == ".jsonl" and entry.name != LINES):
        continue
    if split is None or split in groups.setdefault(kind, {}):
      alone.append({"": file})
    else:
      groups[kind][split] = file
  return [group for group in groups.values() if group] + alone


def _given(manual_dir: pathlib.Path, given: str, there: str) -> Files:
  files = {}
  for part in given.split(",") if "=" in given else [given]:
    split, _, name = part.strip().rpartition("=")
    try:
      file = manual_dir / reading.relative_path(name.strip())
    except ValueError as error:
      raise UserError(f"{SET_IT}: {error}.") from None
    if split and SPLIT_NAMES.get(split) is None:
      raise UserError(
        f"{SET_IT} is {given!r}: {split!r} is not a split, expected "
        "train=FILE,validation=FILE,test=FILE."
      )
    if file.suffix.lower() not in ENDINGS or not file.is_file():
      raise UserError(
        f"{SET_IT}: {file} is not a file that ends in {', '.join(ENDINGS)}. "
        f"Found:{there}"
      )
    files[SPLIT_NAMES.get(split, "")] = file
  return files


def read(
  manual_dir: pathlib.Path, files: Files, images: str, problems: Problems
) -> Annotated:
  """Reads annotation files.

  Args:
    manual_dir: Folder that the paths of images are relative to.
    files: Files from `find`.
    images: Folder in `manual_dir` with the images of CSV and JSON files.
    problems: Receives what is wrong in the files.

  Raises:
    UserError: A file cannot be read at all.
  """
  entries: list[Entry] = []
  classes: dict[str, tuple[str, ...]] = {}
  for split, file in files.items():
    name = file.relative_to(manual_dir).as_posix()
    prefix = images
    if file.suffix.lower() == ".csv":
      part = _read_csv(file, name, problems)
    elif file.suffix.lower() == ".json":
      part = folder_json.read(file, name, problems)
    else:
      part = Annotated(list(_read_lines(file, name, problems)), ())
      prefix = name.rpartition("/")[0]
    classes[name] = part.classes
    for entry in part.entries:
      if split and entry.split:
        problems.add(f"{entry.where}: has a split, and so does its file's name")
      try:
        path = reading.relative_path(entry.path)
      except ValueError as error:
        problems.add(f"{entry.where}: {error}")
        continue
      path = f"{prefix}/{path}" if prefix else path
      entries.append(entry._replace(path=path, split=entry.split or split))
  lists = set(classes.values())
  if len(lists) > 1:
    problems.add(f"{' and '.join(classes)} list different labels")
  return Annotated(entries, lists.pop() if len(lists) == 1 else ())


def _read_csv(file: pathlib.Path, name: str, problems: Problems) -> Annotated:
  header, lines = csv_files.read_table(file)
  rows = list(lines)
  columns = [c for c in header if c not in ("path", "labels", "split")]
  wrong = [
    f"column {c!r} appears twice"
    for c in dict.fromkeys(header)
    if header.count(c) > 1
  ]
  if "path" not in header:
    wrong.append(
      f"no column 'path' among {', '.join(header)[:200]}; columns are "
      "separated by commas"
    )
  if "labels" in header:
    wrong += [
      f"unknown column {c!r} beside 'labels', expected path,labels,split"
      for c in columns
    ]
    columns = []
  elif not columns:
    wrong.append("neither a column 'labels' nor columns of 0 and 1")
  wrong += ["a column without a name" for c in columns if not c]
  wrong += _no_marks(header, columns, rows)
  for problem in wrong:
    problems.add(f"{name}:1: {problem}")
  entries = []
  for number, cells in rows if not wrong else ():
    where = f"{name}:{number}"
    if len(cells) != len(header):
      problems.add(csv_files.wrong_length(name, number, cells, header))
      continue
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    if columns:
      labels = tuple(_ones(row, columns, where, problems))
    else:
      labels = tuple(_listed(row["labels"], where, problems))
    split = SPLIT_NAMES.get(row.get("split", "train"))
    if split is None:
      problems.add(
        f"{where}: split {row['split']!r}, expected train, validation or test"
      )
    split = split if split and "split" in row else ""
    entries.append(Entry(row["path"], labels, split, where))
  return Annotated(entries, tuple(columns))


def _no_marks(
  header: list[str], columns: list[str], rows: list[tuple[int, list[str]]]
) -> Iterator[str]:
  """Yields messages about columns that clearly do not hold labels."""
  for i, column in enumerate(header):
    cells = [cells[i].strip() for _, cells in rows if len(cells) > i]
    # With a single row, the message about its cell is more helpful.
    if column in columns and len(cells) > 1 and not {"0", "1"} & set(cells):
      yield (
        f"column {column!r} holds {cells[0][:40]!r} and no 0 or 1; expected a "
        "column of 0 and 1 for each label, or all labels of an image in a "
        "column 'labels'"
      )


def _ones(
  row: Mapping[str, str], columns: list[str], where: str, problems: Problems
) -> Iterator[str]:
  for column in columns:
    if row[column] == "1":
      yield column
    elif row[column] != "0":
      got = repr(row[column]) if row[column] else "an empty cell"
      problems.add(f"{where}: {got} in column {column!r}, expected 0 or 1")


def _listed(cell: str, where: str, problems: Problems) -> Iterator[str]:
  """Yields the labels of a cell such as 'cat; dog'; an empty cell has none."""
  for label in cell.split(";") if cell else ():
    if not label.strip():
      problems.add(f"{where}: an empty label in {cell!r}")
    yield label.strip()


def _read_lines(
  file: pathlib.Path, name: str, problems: Problems
) -> Iterator[Entry]:
  for number, line in enumerate(reading.read_lines(file), 1):
    where = f"{name}:{number}"
    if not line.strip():
      continue
    try:
      row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
      problems.add(f"{where}: not valid JSON: {error}")
      continue
    labels = row.get("labels") if isinstance(row, dict) else None
    path = row.get("file_name") if isinstance(row, dict) else None
    if isinstance(path, str) and folder_json.is_names(labels):
      yield Entry(path, tuple(label.strip() for label in labels), "", where)
    else:
      problems.add(
        f'{where}: {line[:60]!r}, expected {{"file_name": "a.jpg", "labels": '
        '["cat"]}'
      )
