"""Reads weight files in the safetensors layout.

The library checks the header against the file: its length, the place and size
of every tensor, and that the tensors together cover the data.
"""

from __future__ import annotations

import pathlib

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from causal_mlr_jax.core.errors import UserError

# Errors that the library raises: its own, Python's for a file that cannot be
# mapped, and AttributeError for an element type that numpy does not have.
MALFORMED = (SafetensorError, OSError, AttributeError, TypeError, ValueError)


def state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads all arrays of a `.safetensors` file.

  The prefix `module.` of data-parallel training is removed.

  Args:
    path: The file.

  Returns:
    Arrays by name; bfloat16 becomes float32.

  Raises:
    UserError: The file is missing, damaged, of another kind or empty, or has
      elements of a type that numpy lacks.
  """
  path = pathlib.Path(path)
  try:
    path.open("rb").close()  # the library's own errors of this kind are vague
    with safe_open(path, framework="numpy") as file:
      arrays = {name: _plain(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise UserError(
      f"Cannot read the weights in {path}: {error.strerror}. Expected the "
      "path of a .safetensors file."
    ) from None
  except MALFORMED as error:
    raise UserError(
      f"Cannot read the weights in {path}: expected a whole safetensors file "
      f"of integers and floats of 16 bits or more ({type(error).__name__}: "
      f"{error}). Fetch it again."
    ) from error
  if not arrays:
    raise UserError(
      f"No weights in {path}: expected arrays by name, got none. Use the file "
      "that holds the model."
    )
  if all(name.startswith("module.") for name in arrays):
    arrays = {k.removeprefix("module."): v for k, v in arrays.items()}
  return arrays


def _plain(array: np.ndarray) -> np.ndarray:
  """Returns an array with a dtype that numpy itself has."""
  if array.dtype == ml_dtypes.bfloat16:
    return array.astype(np.float32)
  return array
