"""The files of `configs/`, whether the program is installed or a checkout.

An installed program has the folder within its package. There
`--config=configs/NAME.py` works from every folder, and a configuration of a
user's own may say `from configs import common`.
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys
from collections.abc import Sequence

_PACKAGE = pathlib.Path(__file__).parents[1]
_NAME = "configs"
# The installed package's folder, and that of a checkout.
_FOLDERS = (_PACKAGE / _NAME, _PACKAGE.parent / _NAME)
_FLAG = re.compile(r"(--?config)(?:=(.*))?", re.S)


def folder() -> pathlib.Path:
  """Returns the folder of the program's own configurations."""
  return next((f for f in _FOLDERS if f.is_dir()), _FOLDERS[0])


def find(text: str) -> str:
  """Returns FILE[:ARGUMENT] with the program's own file if there is no FILE.

  Args:
    text: The value of --config. Only configs/NAME.py is looked for.
  """
  path, colon, argument = text.partition(":")
  given = pathlib.Path(path)
  own = folder() / given.name
  if given.parent == pathlib.Path(_NAME) and not given.exists():
    path = str(own) if own.is_file() else path
  return f"{path}{colon}{argument}"


def with_own_files(argv: Sequence[str]) -> list[str]:
  """Returns a command line whose --config names a file that is there.

  It also lets the file import `configs`.

  Args:
    argv: The program's name and its arguments.
  """
  _make_importable()
  words = list(argv)
  for i, word in enumerate(words):
    match = _FLAG.fullmatch(word)
    if match is None:
      continue
    if match[2] is not None:
      words[i] = f"{match[1]}={find(match[2])}"
    elif i + 1 < len(words):
      words[i + 1] = find(words[i + 1])
  return words


def _make_importable() -> None:
  """Makes `configs` a package: the program's own, then the current folder's."""
  first = folder() / "__init__.py"
  if _NAME in sys.modules or not first.exists():
    return
  spec = importlib.util.spec_from_file_location(
    _NAME,
    first,
    submodule_search_locations=[
      str(first.parent),
      str(pathlib.Path(_NAME).absolute()),
    ],
  )
  assert spec is not None  # the file is there
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[_NAME] = module
  spec.loader.exec_module(module)
