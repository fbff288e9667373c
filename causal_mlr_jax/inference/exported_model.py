"""An exported model as two files: its arrays, and all else that it takes.

`model.safetensors` holds the variables and the shared side inputs by path,
`model.json` the labels, the preprocessing, the thresholds and the rest.
"""

from __future__ import annotations

import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors.numpy

from causal_mlr_jax import __version__, backbones
from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Confounders, Cooccurrence
from causal_mlr_jax.inference.bundle import Bundle, as_config, check_variables
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.workdir import as_json

PROGRAM = "causal_mlr_jax"
# Of both files; raised when an older program cannot read what is written.
FORMAT = 1
ARRAYS, DESCRIPTION = "model.safetensors", "model.json"
# Side inputs of several arrays.
CLASSES = {"confounders": Confounders, "cooccurrence": Cooccurrence}
# Keys that hold folders and files of the machine that trained.
PATHS = (
  "data.dir",
  "data.manual_dir",
  "transfer.dir",
  "transfer.manual_dir",
  "init_from",
  "side_inputs.glove",
)
KEYS = ("labels", "image_shape", "config", "step", "thresholds")


def is_exported(folder: pathlib.Path) -> bool:
  """Returns whether a folder holds an exported model."""
  path = folder / DESCRIPTION
  try:
    found = atomic_files.read_json(path)
  except (OSError, ValueError):
    return False
  return isinstance(found, dict) and found.get("program") == PROGRAM


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
  bundle: Bundle, files: Mapping[str, Any], left_out: Mapping[str, str]
) -> dict[str, Any]:
  """Returns the content of model.json.

  Args:
    bundle: The model.
    files: What each file beside it is.
    left_out: Why a format was not written, by its name.
  """
  config = as_json(bundle.config)
  for key in PATHS:
    section, _, name = key.rpartition(".")
    values = config.get(section, {}) if section else config
    if name in values:
      values[name] = ""
  backbone = backbones.find(bundle.config.backbone.name)
  versions = {"causal_mlr_jax": __version__}
  for package in ("jax", "flax", "numpy"):
    versions[package] = importlib.metadata.version(package)
  return {
    "program": PROGRAM,
    "format": FORMAT,
    "method": bundle.config.method.name,
    "labels": list(bundle.labels),
    "image_shape": list(bundle.image_shape),
    "preprocessing": bundle.preprocess,
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
    "left_out": dict(left_out),
    "config": config,
  }


def read(folder: pathlib.Path) -> Bundle:
  """Reads an exported model.

  Args:
    folder: A folder that `write` and `describe` filled.

  Raises:
    UserError: A file is missing or damaged, or a newer program wrote it.
  """
  path = folder / DESCRIPTION
  found = atomic_files.read_json(path)
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
  arrays = safetensors_files.state_dict(folder / ARRAYS)
  tree = flax.traverse_util.unflatten_dict(arrays, sep="/")
  if set(tree) - {"variables", "side"} or "variables" not in tree:
    raise UserError(
      f"{folder / ARRAYS} is not of an exported model: expected arrays under "
      f"variables/ and side/, got {sorted(tree)[:5]}. Export again."
    )
  try:
    side = {
      name: CLASSES[name](**value) if name in CLASSES else value
      for name, value in tree.get("side", {}).items()
    }
    bundle = Bundle(
      as_config(found["config"]),
      tuple(found["labels"]),
      tuple(found["image_shape"]),
      tree["variables"],
      side,
      found["step"],
      found["thresholds"],
    )
    check_variables(bundle)
  except (TypeError, AttributeError, KeyError) as error:
    raise UserError(
      f"{folder} holds a damaged model: {error}. Export it again."
    ) from error
  return bundle
