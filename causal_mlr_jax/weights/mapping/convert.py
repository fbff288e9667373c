"""Converts PyTorch weights to our variables and checks that all are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Tree

TABLES = "causal_mlr_jax.weights.mapping.backbones"


def convert(
  backbone_name: str,
  state_dict: Mapping[str, np.ndarray],
  target_variables: Tree,
  *,
  prefix: str = "",
  rename: Mapping[str, str] | None = None,
  allow_missing: Iterable[str] = (),
  allow_unused: Iterable[str] = (),
) -> Tree:
  """Returns a backbone's variables with the values of a state dict.

  Args:
    backbone_name: Name of a file in `weights/mapping/backbones`, for example
      "resnet".
    state_dict: Arrays by torch key, see `reader.state_dict`.
    target_variables: Variables of the backbone, {"params": ...,
      "batch_stats": ...}: arrays, or their shapes from `jax.eval_shape`.
    prefix: Prefix of the backbone's keys; other keys are not read.
    rename: Replacements for the beginnings of keys after the prefix, for
      example {"0.": "conv1.", "4.": "layer1."}.
    allow_missing: Patterns of our paths that may keep the target's value.
    allow_unused: Patterns of torch keys that may be left unused.

  Returns:
    Variables with the target's structure, shapes and dtypes, as numpy arrays.

  Raises:
    UserError: A key is missing or unused, or a shape differs; the message lists
      all of them.
  """
  choices = lookup.names(TABLES)
  lookup.check_name("backbone of weights", backbone_name, choices)
  table = lookup.module(TABLES, backbone_name)
  rename = dict(rename or {})
  own = {}
  for key, value in state_dict.items():
    if key.startswith(prefix):
      own[_renamed(key.removeprefix(prefix), rename)] = value
  if hasattr(table, "prepare"):
    own = table.prepare(own, target_variables)
  return assign(
    own,
    target_variables,
    table.variable,
    allow_missing=allow_missing,
    allow_unused=(table.IGNORED, *allow_unused),
  )


def assign(
  state_dict: Mapping[str, np.ndarray],
  target: Tree,
  variable: Callable[[str], str | None],
  *,
  allow_missing: Iterable[str] = (),
  allow_unused: Iterable[str] = (),
  ours: bool = False,
) -> Tree:
  """Fills a tree with the arrays of a state dict.

  Args:
    state_dict: Arrays by torch key.
    target: Nested dicts of arrays or shapes.
    variable: Function from a torch key to our path, "params/conv1/kernel", or
      None.
    allow_missing: Patterns of our paths that may keep the target's value.
    allow_unused: Patterns of torch keys that may be left unused.
    ours: Whether the arrays already have our layout.

  Returns:
    A tree of numpy arrays with the target's structure.

  Raises:
    UserError: A key is missing or unused, or a shape differs.
  """
  leaves, structure = jax.tree_util.tree_flatten_with_path(target)
  wanted = {path_of(path): leaf for path, leaf in leaves}
  found, problems = _fill(state_dict, wanted, variable, allow_unused, ours)
  for path, leaf in wanted.items():
    if path not in found:
      if not _matches(path, allow_missing):
        problems.append(f"missing: {path} {leaf.shape}")
      elif isinstance(leaf, jax.ShapeDtypeStruct):
        problems.append(f"missing, and the target holds no value: {path}")
  if problems:
    raise UserError(_report(problems, len(state_dict), len(wanted)))
  return structure.unflatten(
    np.asarray(found.get(path, leaf), leaf.dtype)
    for path, leaf in wanted.items()
  )


def by_path(tree: Tree) -> dict[str, Any]:
  """Returns the leaves of a tree by path, such as 'params/head/query'."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_of(path): leaf for path, leaf in leaves}


def _fill(
  state_dict: Mapping[str, np.ndarray],
  wanted: Mapping[str, Any],
  variable: Callable[[str], str | None],
  allow_unused: Iterable[str],
  ours: bool,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Returns the values by our path, and a list of what does not fit."""
  problems: list[str] = []
  found: dict[str, np.ndarray] = {}
  for key, value in state_dict.items():
    path = variable(key)
    if path is None or path not in wanted:
      if not _matches(key, allow_unused):
        problems.append(f"unused: {key} {np.shape(value)}")
    elif path in found:
      problems.append(f"twice: {path} (the second is {key})")
    else:
      shape = wanted[path].shape
      value = np.asarray(value)
      found[path] = value if ours else _in_our_layout(path, value, len(shape))
      got, expected = found[path].shape, wanted[path].shape
      if got != expected:
        problems.append(f"shape: {path} is {expected}, {key} gives {got}")
  return found, problems


def _renamed(key: str, rename: Mapping[str, str]) -> str:
  for old, new in rename.items():
    if key.startswith(old):
      return new + key.removeprefix(old)
  return key


def _in_our_layout(path: str, value: np.ndarray, ndim: int) -> np.ndarray:
  """Transposes kernels: (out, in, h, w) to (h, w, in, out), 2-D to (in, out).

  The order of the axes is reversed, but that of h and w is kept. An axis of
  length one that the target does not have (of a convolution over one position,
  or of a group) is removed.
  """
  while value.ndim > ndim and 1 in value.shape:
    # From the end, so that (out, in, 1, 1) keeps `out` even if it is 1.
    last = value.ndim - 1 - value.shape[::-1].index(1)
    value = np.squeeze(value, last)
  if not path.endswith("/kernel"):
    return value
  return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def _matches(name: str, patterns: Iterable[str]) -> bool:
  return any(re.fullmatch(pattern, name) for pattern in patterns)


def _report(problems: list[str], given: int, wanted: int) -> str:
  return (
    f"The weights do not fit the model ({given} arrays given, {wanted} "
    "expected). Check the depth, the width and the prefix of the keys, or "
    "allow these differences:\n  " + "\n  ".join(problems)
  )
