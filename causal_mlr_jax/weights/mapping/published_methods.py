"""Conversion of published checkpoints of whole methods: backbone and head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.weights.mapping import convert, key_rules

LAYOUTS = "causal_mlr_jax.weights.mapping.methods"


def layout_of(method_name: str) -> ModuleType:
  """Returns the module with a method's published layout.

  Raises:
    UserError: The method has no such module.
  """
  return lookup.module(LAYOUTS, method_name)


def split(
  layout: ModuleType, state: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Returns the backbone's arrays by torchvision's keys, and the head's.

  Args:
    layout: Module from `layout_of`.
    state: Arrays by torch key.
  """
  backbone, head = {}, {}
  for key, value in key_rules.split_attention(state).items():
    name = layout.backbone_key(key)
    if name is None:
      head[key] = value
    else:
      backbone[name] = value
  return backbone, head


def convert_method(
  method_name: str,
  backbone_name: str,
  state: Mapping[str, np.ndarray],
  target: Tree,
  *,
  allow_missing: Iterable[str] = (),
  allow_unused: Iterable[str] = (),
) -> Tree:
  """Returns a model's variables with the values of a published checkpoint.

  Args:
    method_name: Name of a file in `weights/mapping/methods`.
    backbone_name: Name of a file in `weights/mapping/backbones`.
    state: Arrays by torch key, see `state_dict.read_state_dict`.
    target: Variables of the model: collections of {'backbone', 'head'}.
    allow_missing: Patterns of our paths that may keep the target's value.
    allow_unused: Patterns of torch keys that may be left unused.

  Raises:
    UserError: A key is missing or unused, or a shape differs.
  """
  backbone, head = split(layout_of(method_name), state)

  def convert_backbone() -> Tree:
    return convert.convert(
      backbone_name,
      backbone,
      part_of(target, "backbone"),
      allow_missing=allow_missing,
      allow_unused=allow_unused,
    )

  def convert_own() -> Tree:
    return _head(method_name, head, target, allow_missing, allow_unused)

  parts, problems = {}, []
  for part, function in (("backbone", convert_backbone), ("head", convert_own)):
    try:
      parts[part] = function()
    except UserError as error:
      problems.append(f"{part}: {error}")
  if problems:
    raise UserError("\n".join(problems))
  return joined(target, parts)


def convert_head(
  method_name: str, state: Mapping[str, np.ndarray], target: Tree
) -> Tree:
  """Returns the variables of `convert_method` for a head without a backbone.

  Args:
    method_name: Name of a file in `weights/mapping/methods`.
    state: Arrays by torch key.
    target: Variables of the head: collections of {'head'}.

  Raises:
    UserError: A key is missing or unused, or a shape differs.
  """
  head = key_rules.split_attention(state)
  return joined(target, {"head": _head(method_name, head, target, (), ())})


def _head(
  method_name: str,
  state: Mapping[str, np.ndarray],
  target: Tree,
  allow_missing: Iterable[str],
  allow_unused: Iterable[str],
) -> Tree:
  layout = layout_of(method_name)
  return convert.assign(
    state,
    part_of(target, "head"),
    layout.variable,
    allow_missing=(*getattr(layout, "OWN", ()), *allow_missing),
    allow_unused=(layout.IGNORED, r".*\.num_batches_tracked", *allow_unused),
  )


def part_of(variables: Tree, part: str) -> Tree:
  """Returns only the variables of the backbone or of the head."""
  return {k: v[part] for k, v in variables.items() if part in v}


def joined(variables: Tree, parts: Mapping[str, Tree]) -> Tree:
  """Returns variables with some of their parts replaced."""
  joined = {k: dict(v) for k, v in variables.items()}
  for part, collections in parts.items():
    for collection, values in collections.items():
      joined[collection][part] = values
  return joined


def with_shared_values(target: Tree, source: Tree) -> Tree:
  """Returns the target with the source's values of variables that both have.

  Args:
    target: Variables of a model.
    source: Variables of another model.
  """
  leaves, structure = jax.tree_util.tree_flatten_with_path(target)
  given = {
    path_of(path): value
    for path, value in jax.tree_util.tree_leaves_with_path(source)
  }

  def chosen(path: str, leaf: Any) -> Any:
    other = given.get(path, leaf)
    return other if other.shape == leaf.shape else leaf

  return structure.unflatten(
    chosen(path_of(path), leaf) for path, leaf in leaves
  )


def by_backbone_keys(
  backbone_name: str, state: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Returns a state dict by the backbone's own keys.

  The prefix of a backbone differs in published code; the naming that recognises
  most keys is chosen. Keys that are not the backbone's are unchanged.

  Args:
    backbone_name: Name of a file in `weights/mapping/backbones`.
    state: Arrays by torch key.

  Raises:
    UserError: No weights of such a backbone are known.
  """
  variable = lookup.module(convert.TABLES, backbone_name).variable
  names = lookup.names(LAYOUTS)
  ways = [key_rules.prefixed(""), key_rules.prefixed("backbone.")]
  ways += [layout_of(name).backbone_key for name in names]

  def known(way: Any) -> int:
    keys = (way(key) for key in state)
    return sum(key is not None and variable(key) is not None for key in keys)

  best = max(ways, key=known)
  return {best(key) or key: value for key, value in state.items()}
