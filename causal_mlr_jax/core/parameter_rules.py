"""Rules over the paths of a parameter tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree

Rules = Sequence[tuple[str, Any]]


def path_of(key_path: tuple[Any, ...]) -> str:
  """Returns a leaf's path such as 'head/decoder/query'."""
  return jax.tree_util.keystr(key_path, simple=True, separator="/")


def match(name: str, rules: Rules, tree: Tree) -> Tree:
  """Returns a tree with each leaf's value by the first rule that matches.

  Args:
    name: the configuration's key, for messages.
    rules: (regular expression, value), matched against the whole path.
    tree: parameters.

  Raises:
    UserError: a leaf that no rule matches, a rule that matches no leaf, or
      an expression that is none.
  """
  try:
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
  except re.error as error:
    raise UserError(f"{name}: {error.pattern!r} is no regex: {error}") from None
  used = set()

  def value_of(key_path: tuple[Any, ...], _: Any) -> Any:
    path = path_of(key_path)
    for i, (pattern, value) in enumerate(compiled):
      if pattern.fullmatch(path):
        used.add(i)
        return value
    raise UserError(
      f"{name}: no rule matches the parameter {path!r}; end the rules with "
      "('.*', VALUE)."
    )

  result = jax.tree_util.tree_map_with_path(value_of, tree)
  idle = [rules[i][0] for i in range(len(rules)) if i not in used]
  # A last catch-all may find nothing left to catch.
  idle = [pattern for pattern in idle if pattern != ".*"]
  if idle:
    paths = [path_of(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)]
    some = ", ".join(paths[:: len(paths) // 4 + 1])
    raise UserError(
      f"{name}: {idle[0]!r} matches no parameter before an earlier rule does. "
      f"Parameters are, for example, {some}."
    )
  return result
