import pytest

from tests.paths import ROOT


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
  """Files of configs/ are found from the root of the project."""
  monkeypatch.chdir(ROOT)
