"""ResNet against the reference run of the published definition."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights.mapping import convert
from causal_mlr_jax.weights.mapping.backbones import resnet as table

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
  assert_close(loss, case.arrays[f"{mode}loss/total"], "loss")

  expected = case.arrays[f"{mode}grad_loss/input"].transpose(0, 2, 3, 1)
  assert_close(grad_image, expected, "gradient of the image")
  grads = case.by_torch_key({"params": grad_params["backbone"]}, grad_params)
  norms = case.group(f"{mode}grad_loss_norm")
  assert set(grads) == set(norms)
  for key, norm in norms.items():
    got = jnp.linalg.norm(grads[key].reshape(-1))
    np.testing.assert_allclose(got, norm, rtol=2e-4, err_msg=key)

  stats = case.by_torch_key(updates, {})
  for key, expected in case.group(f"{mode}state").items() if train else ():
    if not key.endswith("num_batches_tracked"):
      assert_close(stats[key], expected, key)


def shapes_of(**fields):
  backbone = resnet.Backbone(**fields)
  image = jnp.zeros((2, 64, 64, 3))
  return jax.eval_shape(
    lambda: backbone.init_with_output(jax.random.key(0), image, train=False)
  )


@pytest.mark.parametrize(
  ("depth", "parameters"),
  # Published counts, less the classifiers of 1000 classes.
  [
    (18, 11_689_512 - 513_000),
    (50, 25_557_032 - 2_049_000),
    (101, 44_549_160 - 2_049_000),
  ],
)
def test_has_the_published_size(depth, parameters):
  features, variables = shapes_of(depth=depth)
  sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
  assert sum(sizes) == parameters
  assert features.maps["final"].shape == (2, 2, 2, 512 if depth == 18 else 2048)


@pytest.mark.parametrize(("stem", "grid"), [("small", 8), ("tiny", 16)])
def test_small_images(stem, grid):
  fields = {"stage_sizes": (1, 1, 1), "block": "basic", "width": 16}
  features, _ = shapes_of(**fields, stem=stem, dtype=jnp.bfloat16)
  assert set(features.maps) == {"stage1", "stage2", "stage3", "final"}
  assert features.maps["final"].shape == (2, grid, grid, 64)
  assert features.maps["final"].dtype == jnp.bfloat16
  assert features.pooled.shape == (2, 64)
  assert features.pooled.dtype == jnp.float32


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"depth": 34}, "depth '34'.*18"),
    ({"stem": "smal"}, "Did you mean 'small'"),
    ({"block": "basik"}, "Did you mean 'basic'"),
    ({"stage_sizes": ()}, "stage_sizes"),
  ],
)
def test_a_wrong_field_says_what_there_is(fields, words):
  with pytest.raises(UserError, match=words):
    shapes_of(**fields)


def test_frozen_statistics_stay_and_nothing_of_them_is_learned(rng):
  backbone = resnet.Backbone(
    stage_sizes=(1,),
    block="basic",
    width=4,
    stem="small",
    frozen_batch_norm=True,
  )
  image = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
  variables = backbone.init(jax.random.key(0), image, train=True)

  def loss(params):
    features, updates = backbone.apply(
      {**variables, "params": params},
      image,
      train=True,
      mutable=["batch_stats"],
    )
    return features.pooled.sum(), updates

  grads, updates = jax.grad(loss, has_aux=True)(variables["params"])
  jax.tree.map(
    np.testing.assert_array_equal,
    updates["batch_stats"],
    variables["batch_stats"],
  )
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    is_kernel = path[-1].key == "kernel"
    assert bool(jnp.any(grad != 0)) == is_kernel, path
