"""An exported model as two files: its arrays, and all else that it takes.

`model.safetensors` holds the variables and the shared side inputs by path,
`model.json` the labels, the preprocessing, the thresholds and the rest, and a
digest that ties it to the arrays.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors.numpy

import causal_mlr_jax
from causal_mlr_jax import backbones
from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Confounders, Cooccurrence
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.inference.bundle import (
  Bundle,
  as_config,
  check_decisions,
  check_variables,
)
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.workdir import Workdir, as_json

PROGRAM = "causal_mlr_jax"
# Of both files; raised when an older program cannot read what is written.
FORMAT = 1
ARRAYS, DESCRIPTION = "model.safetensors", "model.json"
# Side inputs of several arrays.
CLASSES = {"confounders": Confounders, "cooccurrence": Cooccurrence}
# Keys that may hold folders and files of the machine that trained.
PATHS = (
  "data.dir",
  "data.manual_dir",
  "transfer.dir",
  "transfer.manual_dir",
  "init_from",
  "side_inputs.glove",
  "backbone.pretrained",
  "confounders.backbone.pretrained",
)
KEYS = ("labels", "image_shape", "config", "step", "thresholds", "sha256")


def is_exported(folder: pathlib.Path) -> bool:
  """Returns whether a folder holds an exported model."""
  try:
    _read_description(folder)
  except UserError:
    return False
  return True


def looks_exported(folder: pathlib.Path) -> bool:
  """Returns whether a folder is to be read as an exported model.

  It has a model.json, of whatever content, and is not the folder of a run.
  """
  return (folder / DESCRIPTION).exists() and not (
    Workdir(str(folder)).config.exists()
  )


def write(bundle: Bundle, folder: pathlib.Path) -> None:
  """Writes a model's arrays.

  Args:
    bundle: The model.
    folder: A folder that exists.
  """
  tree = {"variables": bundle.variables, "side": dict(bundle.side)}
  arrays = {
    path_of(path): np.array(value, order="C")
    for path, value in jax.tree_util.tree_leaves_with_path(tree)
  }
  with atomic_files.replacing(folder / ARRAYS) as file:
    file.write(safetensors.numpy.save(arrays))


def describe(
  bundle: Bundle,
  folder: pathlib.Path,
  files: Mapping[str, str],
  left_out: Mapping[str, str],
) -> dict[str, Any]:
  """Returns the content of model.json.

  Args:
    bundle: The model.
    folder: The folder that `write` filled.
    files: What each file of the folder is.
    left_out: Why a format was not written, by its name.
  """
  config = as_json(bundle.config)
  _leave_out_folders(config)
  backbone = backbones.find(bundle.config.backbone.name)
  versions = {PROGRAM: causal_mlr_jax.__version__}
  for package in ("jax", "flax", "numpy"):
    versions[package] = importlib.metadata.version(package)
  return {
    "program": PROGRAM,
    "format": FORMAT,
    "method": bundle.config.method.name,
    "labels": list(bundle.labels),
    "image_shape": list(bundle.image_shape),
    "preprocessing": op_string.describe(bundle.preprocess),
    "normalisation": {
      "mean": list(backbone.MEAN),
      "std": list(backbone.STD),
      "note": "of pixels from 0 to 255; the programs beside this file contain "
      "it and take uint8 pixels",
    },
    "thresholds": bundle.decisions,
    "step": bundle.step,
    "versions": versions,
    "files": dict(files),
    "sha256": _sha256(folder / ARRAYS),
    "left_out": dict(left_out),
    "config": config,
  }


def _leave_out_folders(config: dict[str, Any]) -> None:
  """Leaves only the names of files and folders of the machine that trained."""
  for key in PATHS:
    *sections, name = key.split(".")
    values = config
    for section in sections:
      values = values.get(section, {})
    if name in values:
      values[name] = pathlib.Path(values[name]).name


def read(folder: pathlib.Path) -> Bundle:
  """Reads an exported model.

  Args:
    folder: A folder that `write` and `describe` filled.

  Raises:
    UserError: A file is missing or damaged, or a newer program wrote it.
  """
  found = _read_description(folder)
  arrays = safetensors_files.state_dict(folder / ARRAYS)
  if _sha256(folder / ARRAYS) != found["sha256"]:
    raise UserError(
      f"{folder / ARRAYS} is not the file that {DESCRIPTION} beside it "
      "describes: the files are of different exports, or one of them was "
      "changed. Copy all files of one export, or export again."
    )
  tree = flax.traverse_util.unflatten_dict(arrays, sep="/")
  if set(tree) - {"variables", "side"} or "variables" not in tree:
    raise UserError(
      f"{folder / ARRAYS} is not of an exported model: expected arrays under "
      f"variables/ and side/, got {sorted(tree)[:5]}. Export again."
    )
  try:
    bundle = _bundle(found, tree)
    check_variables(bundle)
  except (TypeError, ValueError, AttributeError, KeyError) as error:
    raise UserError(
      f"{folder} holds a damaged model: {error}. Export it again."
    ) from error
  check_decisions(bundle, folder / DESCRIPTION)
  return bundle


def _read_description(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the content of model.json, as far as this program knows it.

  Raises:
    UserError: It is missing, damaged, or of another program or version.
  """
  path = folder / DESCRIPTION
  try:
    found = atomic_files.read_json(path)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}.") from error
  except ValueError as error:
    raise UserError(
      f"{path} is damaged: expected whole JSON ({error}). Export again."
    ) from error
  if not isinstance(found, dict) or found.get("program") != PROGRAM:
    raise UserError(
      f"{path} is not of a model that {PROGRAM} exported. Expected the folder "
      "of a run, or one that --mode=export wrote."
    )
  if found.get("format") != FORMAT:
    raise UserError(
      f"{path} has the format {found.get('format')!r}, and this program reads "
      f"the format {FORMAT}. Export the model again, or install a newer "
      f"{PROGRAM}."
    )
  missing = [key for key in KEYS if key not in found]
  if missing:
    raise UserError(
      f"{path} is not whole: {', '.join(missing)} missing. Export again."
    )
  return found


def _bundle(found: Mapping[str, Any], tree: Mapping[str, Any]) -> Bundle:
  side = {
    name: CLASSES[name](**value) if name in CLASSES else value
    for name, value in tree.get("side", {}).items()
  }
  return Bundle(
    as_config(found["config"]),
    tuple(found["labels"]),
    tuple(found["image_shape"]),
    tree["variables"],
    side,
    found["step"],
    found["thresholds"],
  )


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
