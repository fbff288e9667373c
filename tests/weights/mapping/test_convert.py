"""Conversion misses nothing, and says all that does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.mapping import convert


@pytest.fixture
def state(golden):
  arrays = golden("resnet50_reduced")
  return {k[6:]: v for k, v in arrays.items() if k.startswith("state/")}


@pytest.fixture(scope="module")
def shapes():
  backbone = resnet.Backbone(stage_sizes=(1, 1, 1, 1), width=8)
  image = jnp.zeros((1, 32, 32, 3))
  return jax.eval_shape(
    lambda: backbone.init(jax.random.key(0), image, train=False)
  )


def test_every_array_finds_its_place(state, shapes):
  variables = convert.convert("resnet", state, shapes)
  block = variables["params"]["layer2_0"]
  np.testing.assert_array_equal(
    block["conv2"]["kernel"][1, 2, 3, 4],
    state["layer2.0.conv2.weight"][4, 3, 1, 2],
  )
  np.testing.assert_array_equal(
    variables["batch_stats"]["layer2_0"]["downsample_bn"]["var"],
    state["layer2.0.downsample.1.running_var"],
  )
  assert jax.tree.structure(variables) == jax.tree.structure(shapes)


def test_prefix_and_other_names(state, shapes):
  names = {"conv1.": "0.", "bn1.": "1.", "layer": "stage"}

  def renamed(key):
    for old, new in names.items():
      if key.startswith(old):
        return f"features.{key.replace(old, new, 1)}"
    return key

  other = {renamed(key): value for key, value in state.items()}
  expected = convert.convert("resnet", state, shapes)
  found = convert.convert(
    "resnet",
    other,
    shapes,
    prefix="features.",
    rename={new: old for old, new in names.items()},
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_lists_everything_that_does_not_fit(state, shapes):
  del state["conv1.weight"]
  state["layer3.0.bn1.weight"] = np.zeros(5)
  state["layer9.0.conv1.weight"] = np.zeros((1, 1, 1, 1))
  with pytest.raises(UserError) as error:
    convert.convert("resnet", state, shapes)
  message = str(error.value)
  assert "missing: params/conv1/kernel (7, 7, 3, 8)" in message
  assert "unused: layer9.0.conv1.weight" in message
  assert "params/layer3_0/bn1/scale is (32,)" in message
  assert "gives (5,)" in message
  assert "num_batches_tracked" not in message


def test_what_is_allowed_may_differ(state, shapes):
  del state["conv1.weight"]
  state["extra.weight"] = np.zeros(3)
  allowed = {
    "allow_missing": ["params/conv1/.*"],
    "allow_unused": [r"extra\..*"],
  }
  target = jax.tree.map(lambda s: np.full(s.shape, 7, s.dtype), shapes)
  variables = convert.convert("resnet", state, target, **allowed)
  assert (variables["params"]["conv1"]["kernel"] == 7).all()
  with pytest.raises(UserError, match="holds no value"):
    convert.convert("resnet", state, shapes, **allowed)


def test_an_unknown_backbone_says_what_there_is(state, shapes):
  with pytest.raises(UserError, match="Did you mean 'resnet'"):
    convert.convert("resnt", state, shapes)
