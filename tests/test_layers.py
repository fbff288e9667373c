"""Imports go down the layers, and files, functions and folders stay small."""

import ast
import re

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "causal_mlr_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
# Flat lists of peers, of which each is found by its name.
PEERS = ("methods", "data.builders", "weights.parity.cases")
LARGEST_FOLDER = 16
ROOT_MODULES = {"__init__", "main", "run", "modes", "workdir"}


def read_layers():
  """The rows of the plan, from the roof to the ground."""
  text = (ROOT / "docs" / "architecture.md").read_text()
  rows = re.search(r"```layers\n(.*?)```", text, re.S)[1].splitlines()
  return [row.split()[0] for row in rows]


LAYERS = read_layers()


def place(parts):
  """The row of a module: its folder, or itself if it stands in the root."""
  for size in range(len(parts), 0, -1):
    if ".".join(parts[:size]) in LAYERS:
      return ".".join(parts[:size])
  raise AssertionError(f"{'.'.join(parts)} has no row in the plan")


def imports(path):
  """The modules of the package that a file imports, wherever it does."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    else:
      continue
    for name in names:
      parts = name.split(".")
      if parts[0] == "causal_mlr_jax" and len(parts) > 1:
        yield parts[1:]


def test_the_plan_has_every_folder_and_the_modules_of_the_root():
  folders = {
    ".".join(p.parent.relative_to(PACKAGE).parts)
    for p in PACKAGE.rglob("*.py")
    if p.parent != PACKAGE
  }
  assert {p.stem for p in PACKAGE.glob("*.py")} == ROOT_MODULES
  assert folders | (ROOT_MODULES - {"__init__"}) == set(LAYERS)
  assert len(set(LAYERS)) == len(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_the_layers(path):
  parts = path.relative_to(PACKAGE).with_suffix("").parts
  if parts == ("__init__",):
    # What `causal_mlr_jax` offers, which is imported when it is used.
    assert {place(other) for other in imports(path)} == {"inference"}
    return
  own = place(parts)
  for other in imports(path):
    where = place(other)
    assert LAYERS.index(own) <= LAYERS.index(where), f"imports {where}"


@pytest.mark.parametrize(
  "path",
  [*FILES, *sorted(ROOT.glob("configs/*.py"))],
  ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_are_small_and_functions_short(path):
  text = path.read_text()
  assert text.count("\n") <= 300
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.FunctionDef):
      assert node.end_lineno - node.lineno < 52, node.name


def test_folders_are_small():
  for layer in LAYERS:
    folder = PACKAGE.joinpath(*layer.split("."))
    if layer not in PEERS and folder.is_dir():
      assert len(list(folder.glob("*.py"))) <= LARGEST_FOLDER, layer


def test_every_folder_says_what_it_is_for():
  for path in PACKAGE.rglob("__init__.py"):
    assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_hidden_defaults():
  for path in FILES:
    assert "config.get(" not in path.read_text()
    assert path.name != "utils.py"


def test_files_that_are_named_are_there():
  places = (ROOT, PACKAGE, PACKAGE / "data", ROOT / "tests")
  texts = [
    *FILES,
    *ROOT.glob("configs/*.py"),
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
  ]
  named = re.compile(r"(?<![\w/.])((?:[a-z_]+/)+[a-z0-9_]+\.py)\b")
  gone = {
    f"{path.relative_to(ROOT)}: {name}"
    for path in texts
    for name in named.findall(path.read_text())
    if not any((place / name).exists() for place in places)
  }
  assert not gone
