"""Reads JSON files in the formats of COCO and mmpretrain."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats import reading
from causal_mlr_jax.data.formats.reading import Problems

ID = (int, str)
WORDS = {ID: "number or text", str: "text", list: "list"}


class Entry(NamedTuple):
  """What an annotation file says about one image.

  Attributes:
    path: Path of the image.
    labels: Names of its labels; may be empty.
    split: Split of the image, '' if the file does not say.
    where: File and line of the entry, for messages.
  """

  path: str
  labels: tuple[str, ...]
  split: str
  where: str


class Annotated(NamedTuple):
  """The content of annotation files.

  Attributes:
    entries: One entry per image.
    classes: All labels in the order of the file; () if it does not list them.
  """

  entries: list[Entry]
  classes: tuple[str, ...]


def read(path: pathlib.Path, name: str, problems: Problems) -> Annotated:
  """Reads a JSON file.

  Args:
    path: Path of the file.
    name: Name of the file in messages.
    problems: Receives what is wrong in the file.

  Raises:
    UserError: The file is not valid JSON, or is in neither format.
  """
  try:
    content = json.loads(reading.read_text(path))
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path} is not valid JSON: {error}.") from None
  if _has_lists(content, "images", "annotations", "categories"):
    return _read_coco(content, name, problems)
  info = content.get("metainfo") if isinstance(content, dict) else None
  if _has_lists(content, "data_list") and _has_lists(info, "classes"):
    return _read_mmpretrain(content, name, problems)
  raise UserError(
    f"{path} is not in a known format: expected lists 'images', 'annotations' "
    "and 'categories' (COCO), or 'metainfo' with a list 'classes', and a list "
    "'data_list' (mmpretrain)."
  )


def is_names(value: Any) -> TypeGuard[list[str]]:
  """Returns whether a value is a list of non-empty strings."""
  return isinstance(value, list) and all(
    isinstance(name, str) and name.strip() for name in value
  )


def _has_lists(content: Any, *keys: str) -> bool:
  return isinstance(content, dict) and all(
    isinstance(content.get(key), list) for key in keys
  )


def _rows(
  content: Mapping[str, Any],
  key: str,
  fields: Mapping[str, Any],
  name: str,
  problems: Problems,
) -> Iterator[tuple[str, list[Any]]]:
  """Yields the location and the fields of each row of a list."""
  for i, row in enumerate(content[key]):
    where = f"{name}: {key}[{i}]"
    values = [row.get(f) if isinstance(row, dict) else None for f in fields]
    # In Python, True is an int.
    if all(
      isinstance(value, kind) and not isinstance(value, bool)
      for value, kind in zip(values, fields.values(), strict=True)
    ):
      yield where, values
    else:
      wanted = " and ".join(f"{f} ({WORDS[k]})" for f, k in fields.items())
      problems.add(f"{where}: {str(row)[:60]}, expected {wanted}")


def _read_coco(
  content: Mapping[str, Any], name: str, problems: Problems
) -> Annotated:
  names: dict[Any, str] = {}
  rows = _rows(content, "categories", {"id": ID, "name": str}, name, problems)
  for where, (key, label) in rows:
    if key in names or label.strip() in names.values():
      problems.add(f"{where}: {key} or {label!r} appears twice")
    names[key] = label.strip()
  images: dict[Any, tuple[str, str]] = {}
  rows = _rows(content, "images", {"id": ID, "file_name": str}, name, problems)
  for where, (key, path) in rows:
    if key in images:
      problems.add(f"{where}: the id {key} appears twice")
    images[key] = (path, where)
  labels: dict[Any, dict[str, None]] = {key: {} for key in images}
  fields = {"image_id": ID, "category_id": ID}
  for where, (image, category) in _rows(
    content, "annotations", fields, name, problems
  ):
    if image not in images:
      problems.add(f"{where}: no image has the id {image}")
    elif category not in names:
      problems.add(f"{where}: no category has the id {category}")
    else:
      labels[image][names[category]] = None
  entries = [
    Entry(path, tuple(labels[key]), "", where)
    for key, (path, where) in images.items()
  ]
  return Annotated(entries, tuple(names.values()))


def _read_mmpretrain(
  content: Mapping[str, Any], name: str, problems: Problems
) -> Annotated:
  classes = content["metainfo"]["classes"]
  if not is_names(classes):
    problems.add(f"{name}: classes must be names")
    return Annotated([], ())
  classes = [label.strip() for label in classes]
  if len(set(classes)) < len(classes):
    problems.add(f"{name}: a name appears twice in classes")
  fields = {"img_path": str, "gt_label": list}
  rows = list(_rows(content, "data_list", fields, name, problems))
  flags = _are_flags([labels for _, (_, labels) in rows], len(classes), name)
  entries = []
  for where, (path, labels) in rows:
    chosen = [i for i, flag in enumerate(labels) if flag] if flags else labels
    if _are_indices(chosen, len(classes)):
      own = tuple(classes[i] for i in chosen)
      entries.append(Entry(path, own, "", where))
    else:
      problems.add(
        f"{where}: gt_label {str(labels)[:60]}, expected different indices of "
        f"the {len(classes)} classes, or 0 or 1 for each class"
      )
  return Annotated(entries, tuple(classes))


def _are_indices(labels: list[Any], num: int) -> bool:
  return (
    all(type(label) is int for label in labels)
    and all(0 <= label < num for label in labels)
    and len(set(labels)) == len(labels)
  )


def _are_flags(rows: list[list[Any]], num: int, name: str) -> bool:
  """Returns whether the lists hold 0 or 1 for each class instead of indices.

  Raises:
    UserError: The lists could be either.
  """
  if not rows or not all(
    len(row) == num and all(type(x) is int and x in (0, 1) for x in row)
    for row in rows
  ):
    return False
  if all(_are_indices(row, num) for row in rows):
    # There are at most two classes, and each list holds 0 and 1 in some order.
    raise UserError(
      f"{name}: gt_label is ambiguous: in every image, it could be indices, or "
      f"0 or 1 for each of the {num} classes. Convert the file to COCO's form "
      "or to CSV."
    )
  return True
