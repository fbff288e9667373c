"""What the stubs in typings/ say of libraries is there, by the same names."""

import ast
import importlib
import inspect

import pytest

from tests.paths import ROOT

TYPINGS = ROOT / "typings"


def stubs():
  """Yields the modules that a stub describes, and what it defines there."""
  for path in sorted(TYPINGS.rglob("*.pyi")):
    parts = path.relative_to(TYPINGS).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    body = ast.parse(path.read_text()).body
    for node in body:
      if isinstance(node, ast.FunctionDef):
        yield name, node.name, node
      elif isinstance(node, ast.ClassDef):
        for member in node.body:
          if isinstance(member, ast.FunctionDef):
            yield name, f"{node.name}.{member.name}", member


@pytest.mark.parametrize(
  ("module", "name", "stub"),
  [pytest.param(*found, id=f"{found[0]}.{found[1]}") for found in stubs()],
)
def test_a_stub_names_the_parameters_that_the_library_has(module, name, stub):
  found = importlib.import_module(module)
  for part in name.split("."):
    found = getattr(found, part)
  wanted = {a.arg for a in stub.args.args + stub.args.kwonlyargs}
  wanted -= {"self", "cls"}
  try:
    parameters = inspect.signature(found).parameters.values()
  except ValueError:  # a compiled one does not say its parameters
    assert not wanted
    return
  assert wanted <= {p.name for p in parameters}
