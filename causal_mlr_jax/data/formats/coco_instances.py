"""Reads COCO's official annotations: a JSON file of instances."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats.reading import NAMED, Problems

REMEDY = (
  "Unpack the official archives again; to use a part of the data set, set "
  "--config.data.options.official_counts=False."
)


def read(
  path: pathlib.Path, categories: Mapping[int, str], problems: Problems
) -> tuple[dict[int, str], list[tuple[int, int]]]:
  """Reads an official file of instances, such as instances_val2014.json.

  Args:
    path: The file.
    categories: Official name of each category id.
    problems: Collects what is wrong with single images.

  Returns:
    File names by image id, and the image id and category id of each object.

  Raises:
    UserError: The file cannot be read or has other categories.
  """
  progress.say(f"data: reading {path}")
  try:
    with path.open("rb") as file:
      table = json.load(file, object_hook=_lean)
    _check_categories(table["categories"], categories, path)
    names = {int(x["id"]): str(x["file_name"]) for x in table["images"]}
    objects = [
      (int(x["image_id"]), int(x["category_id"])) for x in table["annotations"]
    ]
    repeated = len(table["images"]) - len(names)
  except UserError:
    raise
  except OSError as error:
    raise UserError(f"Cannot read {path}: {error.strerror}.") from error
  except (ValueError, KeyError, TypeError) as error:
    what = f"it has no {error}" if isinstance(error, KeyError) else error
    raise UserError(
      f"{path} is not the official file of instances: {what}. {REMEDY}"
    ) from error
  if repeated:
    problems.add(f"{path.name}: {repeated:,} images have the id of another one")
  return names, objects


def _lean(entry: dict[str, Any]) -> dict[str, Any]:
  """Drops the outlines during parsing; they take most of a gigabyte."""
  entry.pop("segmentation", None)
  return entry


def _check_categories(
  entries: list[dict[str, Any]],
  categories: Mapping[int, str],
  path: pathlib.Path,
) -> None:
  found = {int(entry["id"]): str(entry["name"]) for entry in entries}
  if found == categories:
    return
  wrong = [
    f"{k}: {found.get(k, 'absent')!r}, officially "
    f"{categories.get(k, 'absent')!r}"
    for k in sorted(found.keys() | categories.keys())
    if found.get(k) != categories.get(k)
  ]
  raise UserError(
    f"{path} does not hold the 80 categories of COCO; by id:\n"
    + "\n".join(f"  {line}" for line in wrong[:NAMED])
    + "\nUse the official annotations, or the data set `folder` for others."
  )
