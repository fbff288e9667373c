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
CARD = "model_card.md"
# All that an export writes.
NAMES = frozenset(
  (
    exported_model.ARRAYS,
    exported_model.DESCRIPTION,
    CARD,
    *(part.FILE for part in OTHERS.values()),
  )
)


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
  names = {p.name for p in output.iterdir()} if output.is_dir() else {""}
  if not names or (names <= NAMES and exported_model.is_exported(output)):
    return output
  others = ", ".join(sorted(names - NAMES)[:5])
  raise UserError(
    f"--output={path} is there and holds no earlier export, or more than that"
    + (f" ({others})" if others else "")
    + ": nothing was written. Set --output to a new folder."
  )


def write(
  bundle: Bundle, output: pathlib.Path, format_name: str, card: str = ""
) -> dict[str, str]:
  """Exports a model.

  Args:
    bundle: The model.
    output: A folder of `check_output`.
    format_name: One of `FORMATS`; 'all' leaves out what cannot be had, and
      says so.
    card: The model card to put beside it, Markdown; '' for none.

  Returns:
    What each file of the folder is, by its name.

  Raises:
    UserError: The format cannot be had, or the folder cannot be written.
  """
  if format_name in OTHERS:
    OTHERS[format_name].check(bundle)
  temporary = atomic_files.temporary_path(output)
  try:
    temporary.mkdir(parents=True)
    files = _fill(bundle, temporary, format_name, card)
    _move(temporary, output)
  except OSError as error:
    raise UserError(
      f"{output} cannot be written: {error.strerror}. Set --output to a folder "
      "that can be written."
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return files


def _fill(
  bundle: Bundle, folder: pathlib.Path, format_name: str, card: str
) -> dict[str, str]:
  """Writes all files; returns what each is."""
  exported_model.write(bundle, folder)
  files, left_out = {exported_model.ARRAYS: OWN}, {}
  for name, part in OTHERS.items():
    if format_name not in ("all", name):
      continue
    try:
      part.check(bundle)
      part.write(bundle, folder / part.FILE)
      files[part.FILE] = part.what(bundle)
    except UserError as error:
      if format_name != "all":
        raise
      left_out[name] = str(error)
      progress.say(f"export: no {part.FILE}: {error}")
  if card:
    files[CARD] = "what the model is, how good, and on what terms"
    with atomic_files.replacing(folder / CARD) as file:
      file.write(card.encode(errors="backslashreplace"))
  description = exported_model.describe(bundle, folder, files, left_out)
  atomic_files.write_json(folder / exported_model.DESCRIPTION, description)
  return files | {exported_model.DESCRIPTION: "all else that it takes"}


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
