"""Puts PyTorch weights in the places of our variables, and misses none."""

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
    backbone_name: a file of `weights/tables`, for example "resnet".
    state_dict: arrays by torch key, see `reader.state_dict`.
    target_variables: the variables of the backbone alone, {"params": ...,
      "batch_stats": ...}: arrays, or their shapes from `jax.eval_shape`.
    prefix: what stands before the backbone's keys; other keys are not read.
    rename: beginnings of keys, prefix taken off, and what to put in their
      place, for example {"0.": "conv1.", "4.": "layer1."}.
    allow_missing: patterns of our paths that may keep their target value.
    allow_unused: patterns of torch keys that may be left over.

  Returns:
    Variables of the target's structure, shapes and types, numpy arrays.

  Raises:
    UserError: a key is missing or left over, or a shape differs; all of them
      are listed.
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
    state_dict: arrays by torch key.
    target: nested dicts of arrays or shapes.
    variable: gives our path, "params/conv1/kernel", for a torch key, or None.
    allow_missing: patterns of our paths that may keep their target value.
    allow_unused: patterns of torch keys that may be left over.
    ours: the arrays have our layout already.

  Returns:
    A tree of numpy arrays like the target.

  Raises:
    UserError: a key is missing or left over, or a shape differs.
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
  """Returns the leaves of a tree by path, 'params/head/query'."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_of(path): leaf for path, leaf in leaves}


def _fill(
  state_dict: Mapping[str, np.ndarray],
  wanted: Mapping[str, Any],
  variable: Callable[[str], str | None],
  allow_unused: Iterable[str],
  ours: bool,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Returns the values by our paths, and what does not fit."""
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
  """Turns kernels round: (out, in, h, w) to (h, w, in, out), 2-D to (in, out).

  Every axis is reversed but the order of h and w. An axis of length one that
  the target has not (of a convolution over one position, of a group) goes.
  """
  while value.ndim > ndim and 1 in value.shape:
    # The last one first: (out, in, 1, 1) keeps its out where that is 1.
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
    "wanted); check the depth, the width and the prefix of the keys, or allow "
    "what may differ:\n  " + "\n  ".join(problems)
  )
