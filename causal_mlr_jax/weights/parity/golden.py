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

# Groups that results stand in; `state`, `input` and `meta` are given.
# `output64` is the same as `output`, computed by the original in float64; a
# case may compute it, and then it is compared.
GIVEN = r"(state|input|train_labels|pretrained_state)/.*|meta|output64/.*"


# Our results by the keys of a file: arrays of JAX or NumPy, and numbers.
Results = dict[str, Any]


class Golden:
  """Arrays by key, and what they came from.

  Attributes:
    path: the file.
    arrays: by key.
    meta: of the file: class, arguments, notes.
    case: name of the case.
  """

  def __init__(self, path: str | pathlib.Path):
    """Reads a file.

    Raises:
      UserError: it cannot be read or is of another kind.
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
    """Returns the arrays under `name/`, by the rest of their key."""
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
    """Returns the keys that a check has to reproduce.

    Args:
      unchecked: pattern of further keys to leave out.
    """
    out = re.compile(f"{GIVEN}|{unchecked}" if unchecked else GIVEN)
    return [key for key in self.arrays if not out.fullmatch(key)]


class Comparison(NamedTuple):
  """How far our results are from a file's.

  Attributes:
    absolute: the largest error.
    relative: the largest error relative to its array, see `_scale`.
    key: of that array.
    problems: a line for each key that is missing, of another shape, or not
      finite where the file is.
  """

  absolute: float
  relative: float
  key: str
  problems: list[str]


def worst(
  golden: Golden, found: Mapping[str, Any], unchecked: str = ""
) -> Comparison:
  """Compares results with the file.

  Args:
    golden: the file.
    found: our results by the file's keys.
    unchecked: pattern of keys that are not compared.
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
  """Returns what the error of an array is relative to.

  Its largest value; of a gradient's norm, the typical norm of its group where
  that is larger: far below it, a norm is a difference of large terms and as
  rounded as they are, in the file too.
  """
  scale = float(np.nanmax(np.abs(golden.arrays[key]), initial=0))
  group, _, _ = key.partition("/")
  if group.endswith("grad_loss_norm"):
    norms = [float(norm) for norm in golden.group(group).values()]
    scale = max(scale, float(np.median([n for n in norms if n > 0] or [0])))
  # A gradient that is nothing but rounding has no scale of its own.
  return max(scale, 1e-3)
