"""Reads the text files that describe a data set, and reports what is wrong."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats.raw_dataset import Item

NAMED = 20  # largest number of problems that a message lists
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {s: s for s in SPLITS} | {"val": "validation"}


class Problems:
  """Collects problems, so that one error can report all of them."""

  def __init__(self) -> None:
    self._named: list[str] = []
    self._count = 0

  def add(self, problem: str) -> None:
    """Adds one problem, such as 'labels.csv:3: no file a.jpg'."""
    self._count += 1
    if len(self._named) < NAMED:
      self._named.append(problem)

  def raise_if_any(self, subject: str, remedy: str) -> None:
    """Raises an error if there is any problem.

    Args:
      subject: What was read.
      remedy: What the user can do.

    Raises:
      UserError: Lists the first problems and the number of all problems.
    """
    if not self._count:
      return
    lines = [f"  {problem}" for problem in self._named]
    if self._count > len(self._named):
      lines.append(f"  and {self._count - len(self._named)} more")
    head = f"{subject}: {self._count} problem(s):"
    raise UserError("\n".join([head, *lines, remedy]))


class Items(Sequence[Item]):
  """The images of a split, as items that are created on access.

  Creating hundreds of thousands of path objects would take longer than reading
  the annotations.
  """

  def __init__(
    self,
    root: pathlib.Path,
    paths: Sequence[str],
    labels_MN: np.ndarray,
  ):
    """Stores the arguments.

    Args:
      root: Folder that the paths are relative to.
      paths: Paths of M images, with '/'; they are also the images' ids.
      labels_MN: Labels 0 or 1, uint8.
    """
    self._root, self._paths, self._labels_MN = root, paths, labels_MN

  def __len__(self) -> int:
    return len(self._paths)

  @overload
  def __getitem__(self, index: int) -> Item: ...

  @overload
  def __getitem__(self, index: slice) -> Items: ...

  def __getitem__(self, index: int | slice) -> Item | Items:
    if isinstance(index, slice):
      return Items(self._root, self._paths[index], self._labels_MN[index])
    path = self._paths[index]
    return Item(self._root / path, self._labels_MN[index], path)


def take(
  root: pathlib.Path,
  paths: Sequence[str],
  labels_MN: np.ndarray,
  chosen: np.ndarray,
) -> Items:
  """Returns the items of the chosen rows, in the order of `chosen`."""
  rows = np.asarray(chosen, np.int64)
  return Items(root, [paths[int(i)] for i in rows], labels_MN[rows])


def relative_path(text: str) -> str:
  """Returns a path relative to a folder, with '/' and without '.'.

  Args:
    text: Path with slashes or backslashes.

  Raises:
    ValueError: The path is empty, absolute or leads out of the folder.
  """
  path = text.replace("\\", "/")
  if path.startswith("/") or re.match("[A-Za-z]:", path):
    raise ValueError(f"absolute path {text!r}, expected a relative path")
  parts = [part for part in path.split("/") if part not in ("", ".")]
  if not parts:
    raise ValueError("empty path")
  if ".." in parts:
    raise ValueError(f"path {text!r} leads out of the folder")
  return "/".join(parts)


def read_bytes(path: pathlib.Path) -> bytes:
  """Reads a file.

  Raises:
    UserError: The file cannot be read.
  """
  try:
    return path.read_bytes()
  except OSError as error:
    raise UserError(f"Cannot read {path}: {error}.") from None


def read_text(path: pathlib.Path) -> str:
  """Reads UTF-8 text, with or without a byte order mark; line ends are kept.

  Raises:
    UserError: The file cannot be read, or is not UTF-8.
  """
  try:
    return read_bytes(path).decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise UserError(
      f"{path} is not UTF-8 text: {error}. Save it as UTF-8."
    ) from None


def read_lines(path: pathlib.Path) -> list[str]:
  """Returns the lines of a text file, without line ends or final blank lines.

  Raises:
    UserError: See `read_text`.
  """
  lines = [line.rstrip("\r") for line in read_text(path).split("\n")]
  while lines and not lines[-1].strip():
    lines.pop()
  return lines


def locate(root: pathlib.Path, *candidates: str) -> pathlib.Path | None:
  """Returns the first candidate that exists, ignoring case.

  Args:
    root: Folder to search.
    *candidates: Paths relative to it, with '/'.
  """
  for candidate in candidates:
    path: pathlib.Path | None = root
    for part in candidate.split("/"):
      path = _entry(path, part)
      if path is None:
        break
    if path is not None:
      return path
  return None


def _entry(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  if (folder / name).exists():
    return folder / name
  if not folder.is_dir():
    return None
  found = (
    e for e in sorted(folder.iterdir()) if e.name.lower() == name.lower()
  )
  return next(found, None)


def missing(
  name: str,
  manual_dir: pathlib.Path,
  absent: Sequence[str],
  layout: str,
  homepage: str,
) -> UserError:
  """Returns the error for missing official files.

  Args:
    name: Name of the data set.
    manual_dir: Folder that was searched.
    absent: Files that are missing.
    layout: Expected files.
    homepage: Where the files can be downloaded.
  """
  what = "is not a folder"
  if manual_dir.is_dir():
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    what = f"lacks {', '.join(absent[:NAMED])}{more}"
  return UserError(
    f"The data set {name!r}: {manual_dir} {what}. Expected there:\n{layout}\n"
    f"Get the files from {homepage} and set --config.data.manual_dir to the "
    "folder that holds them."
  )


def check_choice(
  name: str, options: Mapping[str, Any], key: str, choices: Sequence[str]
) -> None:
  """Raises a UserError unless the value of an option is among `choices`."""
  if options[key] not in choices:
    raise UserError(
      f"data.options.{key} of {name} is {options[key]!r}: expected one of "
      f"{', '.join(choices)}."
    )
