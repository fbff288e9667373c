"""The arrays of the PyTorch files in the same folder as this case's file."""

from __future__ import annotations

import pathlib

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.parity.golden import Golden, Results
from causal_mlr_jax.weights.torch_files import reader

UNCHECKED = ""
REFUSED = "must be refused"
BITS = "bits/"


def run(golden: Golden) -> Results:
  """Returns the arrays of these files by the keys of this case's file.

  Raises:
    UserError: A file cannot be read, its arrays differ in any bit from the
      expected ones, or it was read although it must be refused.
  """
  found: Results = {}
  for name, holds in golden.meta["files"].items():
    path = golden.path.with_name(name)
    if holds.startswith(REFUSED):
      check_refused(path)
      continue
    part = holds.partition("/")[0]
    arrays = reader.state_dict(path)
    check_equal(path, arrays, golden.group(part))
    found |= {f"{part}/{key}": value for key, value in arrays.items()}
  bits = golden.group(BITS.rstrip("/"))
  return found | {BITS + key: upper_half(found[key]) for key in bits}


def upper_half(value: np.ndarray) -> np.ndarray:
  """Returns the bits of bfloat16 numbers that were read as float32."""
  return (value.view(np.uint32) >> 16).astype(np.uint16)


def check_refused(path: pathlib.Path) -> None:
  """Raises if a file exists and reading it is not refused."""
  if not path.exists():
    return
  try:
    reader.read(path)
  except UserError:
    return
  raise UserError(f"{path} was read; it asks for a call and must be refused.")


def check_equal(
  path: pathlib.Path,
  arrays: dict[str, np.ndarray],
  expected: dict[str, np.ndarray],
) -> None:
  """Raises unless names, dtypes and values are as expected."""
  wrong = sorted(set(arrays) ^ set(expected))
  for key in set(arrays) & set(expected):
    got, want = arrays[key], expected[key]
    if got.dtype != want.dtype or not np.array_equal(got, want):
      wrong.append(key)
  if wrong:
    raise UserError(
      f"{path} gives other arrays than expected: {', '.join(sorted(wrong))}."
    )
