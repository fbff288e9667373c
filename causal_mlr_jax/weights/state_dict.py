"""Reads the state dict of a weight file, whatever its layout."""

from __future__ import annotations

import pathlib

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.weights.torch_files import reader

PICKLE_MAGIC = b"\x80"
TAR_END = reader.TAR_MAGIC_AT + len(reader.TAR_MAGIC)


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a state dict; the layout is told by the content, not by the name.

  Args:
    path: a safetensors file or a PyTorch file, zip or legacy.

  Returns:
    Arrays by torch key, for `convert.convert`.

  Raises:
    UserError: the file is missing, damaged, or of another kind.
  """
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      start = file.read(TAR_END)
  except OSError as error:
    raise UserError(
      f"Cannot read the weights in {path}: {error.strerror}. Expected the "
      "path of a .safetensors or .pth file."
    ) from None
  # After the length of its header, 8 bytes, a safetensors file begins with
  # JSON. Asked first: the length may begin like a pickle or a zip archive,
  # and those have another byte in this place.
  if start[8:9] == b"{":
    return safetensors_files.state_dict(path)
  magics = (reader.ZIP_MAGIC, PICKLE_MAGIC)
  is_tar = start[reader.TAR_MAGIC_AT :] == reader.TAR_MAGIC
  if start.startswith(magics) or is_tar:
    return reader.state_dict(path)
  raise UserError(
    f"Cannot read the weights in {path}: expected a safetensors or a PyTorch "
    f"file; it begins with {start[:20]!r}. A page or a pointer may have been "
    "saved in its place: fetch the file itself."
  )
