import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError

METHODS = "causal_mlr_jax.methods"


def test_a_name_is_a_file():
  assert "causal" in lookup.names(METHODS)
  assert lookup.module(METHODS, "q2l").Head.__name__ == "Head"


def test_a_wrong_name_lists_the_choices_and_the_nearest():
  with pytest.raises(UserError, match=r"Unknown method 'q2k'.*'q2l'.*causal"):
    lookup.module(METHODS, "q2k")
  with pytest.raises(UserError) as error:
    lookup.module(METHODS, "zzz")
  assert "Did you mean" not in str(error.value)


def test_an_import_error_inside_a_file_is_let_through(tmp_path, monkeypatch):
  package = tmp_path / "fake_methods"
  package.mkdir()
  (package / "__init__.py").write_text("")
  (package / "broken.py").write_text("import no_such_module")
  (package / "_private.py").write_text("")
  monkeypatch.syspath_prepend(tmp_path)
  assert lookup.names("fake_methods") == ["broken"]
  with pytest.raises(ModuleNotFoundError, match="no_such_module"):
    lookup.module("fake_methods", "broken")
