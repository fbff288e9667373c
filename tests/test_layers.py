"""Imports go down the layers, and files stay small."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "causal_mlr_jax"
LAYERS = {
  "core": 0,
  "data": 1,
  "nn": 1,
  "backbones": 1,
  "losses": 1,
  "confounders": 2,
  "methods": 2,
  "training": 3,
  "weights": 4,
  "evaluation": 3,
  "reports": 4,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_folders(path):
  """The package's folders that a file imports, wherever it does."""
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
        yield parts[1]


def test_every_folder_has_a_layer():
  folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
  assert folders == LAYERS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_the_layers(path):
  folder = path.relative_to(PACKAGE).parts[0]
  if folder not in LAYERS:
    return  # main, run and workdir stand above all layers
  for other in imported_folders(path):
    assert other in LAYERS, f"imports {other}, which stands above the layers"
    down = LAYERS[other] < LAYERS[folder]
    assert down or other == folder or (other == "nn" and LAYERS[folder] >= 1)


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


def test_no_hidden_defaults():
  for path in FILES:
    assert "config.get(" not in path.read_text()
    assert path.name != "utils.py"
