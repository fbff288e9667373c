"""Writes a folder with an exported model, whole or not at all."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from causal_mlr_jax.core import atomic_files, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference import exported_model
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.inference.export import onnx, stablehlo, torch

# Formats beside that of this program, which is always written.
OTHERS: Mapping[str, ModuleType] = MappingProxyType(
  {"stablehlo": stablehlo, "onnx": onnx, "torch": torch}
)
FORMATS = ("all", "safetensors", *OTHERS)
OWN = "variables and shared side inputs by path; causal_mlr_jax.load reads it"


def check_output(path: str) -> pathlib.Path:
  """Returns the path of a folder to export to.

  Args:
    path: A folder that is absent, empty, or holds an earlier export.

  Raises:
    UserError: Something else is there.
  """
  output = pathlib.Path(path).expanduser().absolute()
  if not output.exists():
    return output
  if output.is_dir() and (
    not any(output.iterdir()) or exported_model.is_exported(output)
  ):
    return output
  raise UserError(
    f"--output={path} is there and holds no earlier export: nothing was "
    "written. Set --output to a new folder."
  )


def write(bundle: Bundle, output: pathlib.Path, format_name: str) -> list[str]:
  """Exports a model.

  Args:
    bundle: The model.
    output: A folder of `check_output`.
    format_name: One of `FORMATS`; 'all' leaves out what cannot be had, and
      says so.

  Returns:
    The names of the files.

  Raises:
    UserError: The format cannot be had, or the folder cannot be written.
  """
  chosen = list(OTHERS) if format_name == "all" else [format_name]
  chosen = [name for name in chosen if name in OTHERS]
  if format_name in OTHERS:
    OTHERS[format_name].check(bundle)
  temporary = atomic_files.temporary_path(output)
  try:
    temporary.mkdir(parents=True)
    exported_model.write(bundle, temporary)
    files, left_out = {exported_model.ARRAYS: OWN}, {}
    for name in chosen:
      part = OTHERS[name]
      try:
        part.check(bundle)
        part.write(bundle, temporary / part.FILE)
        files[part.FILE] = part.WHAT
      except UserError as error:
        if format_name != "all":
          raise
        left_out[name] = str(error)
        progress.say(f"export: no {part.FILE}: {error}")
    description = exported_model.describe(bundle, files, left_out)
    path = temporary / exported_model.DESCRIPTION
    atomic_files.write_json(path, description)
    _move(temporary, output)
  except OSError as error:
    raise UserError(
      f"{output} cannot be written: {error.strerror}. Set --output to a folder "
      "that can be written."
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return [*files, exported_model.DESCRIPTION]


def _move(new: pathlib.Path, output: pathlib.Path) -> None:
  """Puts a folder in its place; an earlier one goes only when that is done."""
  old = atomic_files.temporary_path(output)
  if output.exists():
    output.rename(old)
  try:
    new.rename(output)
  except OSError:
    if old.exists():
      old.rename(output)
    raise
  shutil.rmtree(old, ignore_errors=True)
