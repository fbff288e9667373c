"""Rules that map the paths of a parameter tree to values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree

Rules = Sequence[tuple[str, Any]]


def path_of(key_path: tuple[Any, ...]) -> str:
  """Returns a leaf's path, such as 'head/decoder/query'."""
  return jax.tree_util.keystr(key_path, simple=True, separator="/")


def match(name: str, rules: Rules, tree: Tree) -> Tree:
  """Returns a tree with, for each leaf, the value of the first matching rule.

  Args:
    name: Configuration key, for messages.
    rules: Pairs (regular expression, value); the expression must match the
      whole path.
    tree: Parameters.

  Raises:
    UserError: No rule matches a leaf, a rule matches no leaf, or a regular
      expression is invalid.
  """
  try:
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
  except re.error as error:
    raise UserError(
      f"{name}: {error.pattern!r} is not a valid regular expression: {error}"
    ) from None
  used = set()

  def value_of(key_path: tuple[Any, ...], _: Any) -> Any:
    path = path_of(key_path)
    for i, (pattern, value) in enumerate(compiled):
      if pattern.fullmatch(path):
        used.add(i)
        return value
    raise UserError(
      f"{name}: no rule matches the parameter {path!r}; add ('.*', VALUE) as "
      "the last rule."
    )

  result = jax.tree_util.tree_map_with_path(value_of, tree)
  idle = [rules[i][0] for i in range(len(rules)) if i not in used]
  # A catch-all rule may match nothing.
  idle = [pattern for pattern in idle if pattern != ".*"]
  if idle:
    paths = [path_of(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)]
    some = ", ".join(paths[:: len(paths) // 4 + 1])
    raise UserError(
      f"{name}: {idle[0]!r} matches no parameter, or only parameters that an "
      f"earlier rule matches. Parameters are, for example, {some}."
    )
  return result
