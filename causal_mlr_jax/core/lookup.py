"""Finds modules and keys by name, and says which names there are.

No table lists the methods, backbones or data sets: a name is a file. A wrong
name raises with the choices and the nearest match; an ImportError inside a
file that exists is let through.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from causal_mlr_jax.core.errors import UserError


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> UserError:
  """Returns the error for a name that is none of `choices`.

  Args:
    kind: what the name stands for, for example "method".
    name: the name that was given.
    choices: the names that exist.
  """
  choices = sorted(choices)
  near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
  hint = f" Did you mean {near[0]!r}?" if near else ""
  return UserError(
    f"Unknown {kind} {name!r}.{hint} Choices: {', '.join(choices)}."
  )


def check_name(kind: str, name: str, choices: Iterable[str]) -> None:
  """Checks that a name is one of `choices`.

  Args:
    kind: What the name stands for, for example "method".
    name: The name that was given.
    choices: The names that exist.

  Raises:
    UserError: It is none of them.
  """
  choices = tuple(choices)
  if name not in choices:
    raise unknown_name(kind, name, choices)


def names(package: str) -> list[str]:
  """Returns the names of the public modules of a package, sorted."""
  path = importlib.import_module(package).__path__
  found = (m.name for m in pkgutil.iter_modules(path))
  return sorted(n for n in found if not n.startswith("_"))


def module(package: str, name: str) -> ModuleType:
  """Imports module `name` of `package`.

  Args:
    package: for example "causal_mlr_jax.methods".
    name: a file's name in it, without the ending.

  Raises:
    UserError: no such file.
    ImportError: the file exists and one of its own imports fails.
  """
  choices = names(package)
  if name not in choices:
    kind = package.rpartition(".")[2].rstrip("s")
    raise unknown_name(kind, name, choices)
  return importlib.import_module(f"{package}.{name}")
