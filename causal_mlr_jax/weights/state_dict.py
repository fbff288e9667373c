"""Reads the state dict of a weight file in any supported layout."""

from __future__ import annotations

import pathlib

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.weights.torch_files import reader

PICKLE_MAGIC = b"\x80"
TAR_END = reader.TAR_MAGIC_AT + len(reader.TAR_MAGIC)


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a state dict; the layout follows from the content, not the file name.

  Args:
    path: A safetensors file or a PyTorch file, zip or legacy.

  Returns:
    Arrays by torch key, for `convert.convert`.

  Raises:
    UserError: The file is missing, damaged, or of another kind.
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
  # A safetensors file begins with the length of its header, 8 bytes, and then
  # JSON. This is checked first, because the length can look like the start of a
  # pickle or a zip archive; those have another byte at this place.
  if start[8:9] == b"{":
    return safetensors_files.state_dict(path)
  magics = (reader.ZIP_MAGIC, PICKLE_MAGIC)
  is_tar = start[reader.TAR_MAGIC_AT :] == reader.TAR_MAGIC
  if start.startswith(magics) or is_tar:
    return reader.state_dict(path)
  raise UserError(
    f"Cannot read the weights in {path}: expected a safetensors or a PyTorch "
    f"file, but it begins with {start[:20]!r}. Perhaps a web page or a Git LFS "
    "pointer was saved instead: fetch the file itself."
  )
