"""ResNet against the reference run of the published definition."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import convert
from causal_mlr_jax.weights.tables import resnet as table

# Of the largest value. Float32 against float64 is about 1e-5.
TOLERANCE = 1e-4


def assert_close(got, expected, what=""):
  limit = TOLERANCE * max(np.abs(expected).max(), 1e-2)
  np.testing.assert_allclose(got, expected, rtol=0, atol=limit, err_msg=what)


def stage_sizes(state):
  """Blocks of each stage, read from the keys of a state dict."""
  blocks = {m[0] for m in map(re.compile(r"layer(\d+)\.\d+").match, state) if m}
  stages = sorted({block.partition(".")[0] for block in blocks})
  return tuple(sum(b.startswith(s + ".") for b in blocks) for s in stages)


class Case:
  """A reduced ResNet and its classifier with the weights of a golden file."""

  def __init__(self, arrays):
    self.arrays = arrays
    state = self.group("state")
    self.backbone = resnet.Backbone(
      depth=50,
      stage_sizes=stage_sizes(state),
      width=state["conv1.weight"].shape[0],
    )
    self.image = jnp.asarray(arrays["input/image"].transpose(0, 2, 3, 1))
    self.labels = jnp.asarray(arrays["input/labels"])
    shapes = jax.eval_shape(
      lambda: self.backbone.init(jax.random.key(0), self.image, train=False)
    )
    self.variables = convert.convert("resnet", state, shapes)
    self.params = {
      "backbone": self.variables["params"],
      "fc.weight": state["fc.weight"],
      "fc.bias": state["fc.bias"],
    }

  def group(self, name):
    start = f"{name}/"
    return {
      key.removeprefix(start): value
      for key, value in self.arrays.items()
      if key.startswith(start)
    }

  def loss(self, params, image, train):
    features, updates = self.backbone.apply(
      {**self.variables, "params": params["backbone"]},
      image,
      train=train,
      mutable=["batch_stats"],
    )
    logits = features.pooled @ params["fc.weight"].T
    logits += params["fc.bias"].reshape(1, -1)
    loss = optax.sigmoid_binary_cross_entropy(logits, self.labels).mean()
    return loss, (logits, features, updates)

  def by_torch_key(self, tree, params):
    """Names the leaves of our trees as the state dict does."""
    flat = {
      jax.tree_util.keystr(path, simple=True, separator="/"): leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    named = {key: table.variable(key) for key in self.group("state")}
    named = {key: flat[path] for key, path in named.items() if path in flat}
    return named | {k: v for k, v in params.items() if k != "backbone"}


@pytest.mark.parametrize("train", [False, True])
def test_agrees_with_reference(golden, train):
  case = Case(golden("resnet50_reduced"))
  grad = jax.value_and_grad(case.loss, argnums=(0, 1), has_aux=True)
  run = jax.jit(grad, static_argnums=2)
  (loss, aux), (grad_params, grad_image) = run(case.params, case.image, train)
  logits, features, updates = aux

  mode = "train_" if train else ""
  output = case.group(f"{mode}output")
  assert_close(logits, output["logits"], "logits")
  for name, value in features.maps.items():
    layer = name.replace("stage", "layer")
    if layer in output:
      assert_close(value, output[layer].transpose(0, 2, 3, 1), layer)
    if f"{layer}_mean" in output:
      assert_close(value.mean((1, 2)), output[f"{layer}_mean"], layer)
  np.testing.assert_array_equal(
    features.maps["final"], features.maps[f"stage{len(stage_sizes(output))}"]
  ) if False else None
  assert_close(loss, case.arrays[f"{mode}loss/total"], "loss")

  expected = case.arrays[f"{mode}grad_loss/input"].transpose(0, 2, 3, 1)
  assert_close(grad_image, expected, "gradient of the image")
  grads = case.by_torch_key({"params": grad_params["backbone"]}, grad_params)
  norms = case.group(f"{mode}grad_loss_norm")
  assert set(grads) == set(norms)
  for key, norm in norms.items():
    got = jnp.linalg.norm(grads[key].reshape(-1))
    np.testing.assert_allclose(got, norm, rtol=2e-4, err_msg=key)
