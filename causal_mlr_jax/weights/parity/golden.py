"""A file of arrays that a published implementation computed."""

from __future__ import annotations

import json
import pathlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core.errors import UserError

# Groups of arrays that are given rather than compared. `output64` is `output`
# computed by the original in float64; it is compared if a case computes it.
GIVEN = r"(state|input|train_labels|pretrained_state)/.*|meta|output64/.*"


# Our results by the keys of a file: arrays of JAX or NumPy, and numbers.
Results = dict[str, Any]


class Golden:
  """The arrays of a file by key, and their origin.

  Attributes:
    path: Path of the file.
    arrays: Arrays by key.
    meta: Metadata of the file: class, arguments, notes.
    case: Name of the case.
  """

  def __init__(self, path: str | pathlib.Path):
    """Reads a file.

    Raises:
      UserError: The file cannot be read or is of another kind.
    """
    self.path = pathlib.Path(path)
    try:
      with np.load(self.path, allow_pickle=False) as file:
        self.arrays = {key: file[key] for key in file.files}
      self.meta: dict[str, Any] = json.loads(str(self.arrays["meta"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
      raise UserError(
        f"Cannot read {self.path}: {type(error).__name__}: {error}. Expected "
        "an .npz file with the entry 'meta', a JSON text."
      ) from error
    self.case = self.meta.get("case", self.path.stem)

  def group(self, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays under `name/` by the rest of their key."""
    start = f"{name}/"
    return {
      key.removeprefix(start): value
      for key, value in self.arrays.items()
      if key.startswith(start)
    }

  @property
  def state(self) -> dict[str, np.ndarray]:
    """The state dict."""
    return self.group("state")

  @property
  def inputs(self) -> dict[str, np.ndarray]:
    """The inputs."""
    return self.group("input")

  @property
  def args(self) -> dict[str, Any]:
    """The arguments of the published class."""
    return self.meta.get("args", {})

  def expected(self, unchecked: str = "") -> list[str]:
    """Returns the keys that a check must reproduce.

    Args:
      unchecked: Pattern of further keys to leave out.
    """
    out = re.compile(f"{GIVEN}|{unchecked}" if unchecked else GIVEN)
    return [key for key in self.arrays if not out.fullmatch(key)]


class Comparison(NamedTuple):
  """The differences between our results and a file's.

  Attributes:
    absolute: The largest error.
    relative: The largest error relative to its array, see `_scale`.
    key: Key of that array.
    problems: One line for each key that is missing, has another shape, or is
      not finite where the file is.
  """

  absolute: float
  relative: float
  key: str
  problems: list[str]


def worst(
  golden: Golden, found: Mapping[str, Any], unchecked: str = ""
) -> Comparison:
  """Compares our results with a file's.

  Args:
    golden: The file.
    found: Our results by the file's keys.
    unchecked: Pattern of keys that are not compared.
  """
  absolute, problems = 0.0, []
  relative = {"": 0.0}
  doubles = [key for key in found if key.startswith("output64/")]
  for key in golden.expected(unchecked) + doubles:
    if key not in found:
      problems.append(f"not computed: {key}")
      continue
    want = np.asarray(golden.arrays[key], np.float64)
    got = np.asarray(found[key], np.float64)
    if got.shape != want.shape:
      problems.append(f"shape: {key} is {want.shape}, ours {got.shape}")
    elif not np.array_equal(np.isnan(got), np.isnan(want)):
      problems.append(f"not finite: {key}")
    elif want.size:
      error = float(np.nanmax(np.abs(got - want), initial=0))
      absolute = max(absolute, error)
      relative[key] = error / _scale(golden, key)
  key = max(relative, key=relative.__getitem__)
  return Comparison(absolute, relative[key], key, problems)


def _scale(golden: Golden, key: str) -> float:
  """Returns the scale that an array's error is relative to.

  This is its largest value. For the norm of a gradient it is the typical norm
  of its group, if that is larger: a much smaller norm is a difference of large
  terms and has their rounding errors, in the file too.
  """
  scale = float(np.nanmax(np.abs(golden.arrays[key]), initial=0))
  group, _, _ = key.partition("/")
  if group.endswith("grad_loss_norm"):
    norms = [float(norm) for norm in golden.group(group).values()]
    scale = max(scale, float(np.median([n for n in norms if n > 0] or [0])))
  # A gradient that is only rounding error has no scale of its own.
  return max(scale, 1e-3)
