"""Runs a method's head, with or without a backbone, as a file prescribes.

A case module gives

  METHOD               name of the method
  fields(golden)       fields of `Head` that the arrays do not determine
  side(golden)         its side inputs
  outputs(output, golden)  arrays by name in the file's layout, from an Output
  LOSS                 the section `loss`, as keyword arguments of `section`
  features(golden, maps)   optional: the maps of `Features`, from its inputs
  FROZEN               optional: pattern of torch keys without a gradient
  more(network, variables, inputs)  optional: further results by key
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.core.types import (
  Array,
  Batch,
  Features,
  Method,
  Output,
  Tree,
)
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.criterion import make_criterion
from causal_mlr_jax.weights.mapping import key_rules, published_methods
from causal_mlr_jax.weights.mapping.backbones import resnet as resnet_table
from causal_mlr_jax.weights.parity.golden import Golden, Results

# A case's module, or one with other values.
Case = ModuleType | SimpleNamespace


class Network(NamedTuple):
  """A head, and a backbone where the file starts from images.

  Attributes:
    golden: The file.
    case: The case's module.
    head: Head with the sizes of the file.
    backbone: Backbone, or None if feature maps are the input.
    side: Side inputs.
    criterion: Loss of each example and label.
  """

  golden: Golden
  case: Case
  head: Any
  backbone: Any
  side: Mapping[str, Any]
  criterion: Callable[[Array, Array], Array]

  @property
  def layout(self) -> ModuleType:
    """The module with the published checkpoint's names of arrays."""
    return published_methods.layout_of(self.case.METHOD)

  @property
  def method(self) -> Method:
    """The method's module."""
    return model_lib.find_method(self.case.METHOD)

  def apply(
    self, variables: Tree, inputs: Mapping[str, Array], train: bool
  ) -> tuple[Output, Tree]:
    """Returns the output and the variables that changed."""
    mutable = [c for c in variables if c != "params"] if train else []
    changed: dict[str, dict] = {}
    if self.backbone is None:
      features = Features(inputs, inputs["final"].mean((1, 2)))
    else:
      features, new = self.backbone.apply(
        published_methods.part_of(variables, "backbone"),
        inputs["image"],
        train=train,
        mutable=mutable,
      )
      changed |= {k: {"backbone": v} for k, v in new.items()}
    output, new = self.head.apply(
      published_methods.part_of(variables, "head"),
      features,
      self.side,
      train=train,
      mutable=mutable,
      rngs={"dropout": jax.random.key(0)},
    )
    for collection, values in new.items():
      changed.setdefault(collection, {})["head"] = values
    aux = dict(output.aux) | {"maps": dict(features.maps)}
    return output._replace(aux=aux), changed


def run(golden: Golden, case: Case) -> Results:
  """Returns our results by the file's keys.

  Args:
    golden: The file.
    case: The case's module, see above.

  Raises:
    UserError: An array of the state is unused or missing.
  """
  network = make_network(golden, case)
  inputs = make_inputs(golden, case)
  variables = make_variables(network, inputs)
  found = evaluate(network, variables, inputs, train=False)
  if golden.group("train_output"):
    trained = evaluate(network, variables, inputs, train=True)
    found |= {f"train_{key}": value for key, value in trained.items()}
  more = getattr(case, "more", None)
  return found | more(network, variables, inputs) if more else found


def make_network(golden: Golden, case: Case) -> Network:
  """Builds the modules with the sizes of the file."""
  layout = published_methods.layout_of(case.METHOD)
  backbone_state, head_state = published_methods.split(layout, golden.state)
  fields = layout.fields(head_state) | case.fields(golden)
  method = model_lib.find_method(case.METHOD)
  backbone = None
  if "image" in golden.inputs:
    backbone = resnet.Backbone(
      **resnet_table.fields(backbone_state),
      frozen_batch_norm=getattr(case, "FROZEN_BATCH_NORM", False),
    )
  labels = golden.inputs["labels"]
  criterion = make_criterion(
    ml_collections.ConfigDict(section(**case.LOSS)), *labels.shape
  )
  head = method.Head(**fields)
  return Network(golden, case, head, backbone, case.side(golden), criterion)


def section(
  name: str = "binary_cross_entropy",
  reduction: str = "mean",
  scale: float = 1.0,
  **fields: Any,
) -> dict[str, Any]:
  """Returns the section `loss` of a configuration."""
  return {"name": name, "reduction": reduction, "scale": scale} | fields


def make_inputs(golden: Golden, case: Case) -> dict[str, Array]:
  """Returns the file's inputs: `image`, or feature maps by stage."""
  given = golden.inputs
  if "image" in given:
    return {"image": nhwc(given["image"])}
  names = getattr(case, "MAPS", {"feature": "final"})
  return {ours: nhwc(given[theirs]) for theirs, ours in names.items()}


def make_variables(network: Network, inputs: Mapping[str, Array]) -> Tree:
  """Returns the file's state as our variables."""

  def init(key: Array, inputs: Mapping[str, Array]) -> Tree:
    found = {}
    if network.backbone is None:
      features = Features(inputs, inputs["final"].mean((1, 2)))
    else:
      image = inputs["image"]
      found["backbone"] = network.backbone.init(key, image, train=False)
      features = network.backbone.apply(found["backbone"], image, train=False)
    found["head"] = network.head.init(key, features, network.side, train=False)
    collections = {c for part in found.values() for c in part}
    return {
      c: {part: v[c] for part, v in found.items() if c in v}
      for c in collections
    }

  target = jax.eval_shape(init, jax.random.key(0), dict(inputs))
  state = network.golden.state
  if network.backbone is not None:
    return published_methods.convert_method(
      network.case.METHOD, "resnet", state, target
    )
  return published_methods.convert_head(network.case.METHOD, state, target)


def evaluate(
  network: Network,
  variables: Tree,
  inputs: Mapping[str, Array],
  *,
  train: bool,
) -> Results:
  """Returns outputs, losses, gradients and changed statistics by key."""
  golden = network.golden
  params = variables["params"]
  rest = {k: v for k, v in variables.items() if k != "params"}
  batch: Batch = {"labels": jnp.asarray(golden.inputs["labels"], jnp.float32)}

  def score(x: Mapping[str, Array]) -> tuple[Array, tuple]:
    output, changed = network.apply(variables, x, train)
    return (output.logits * golden.inputs["cotangent"]).sum(), (output, changed)

  def loss(params: Tree, x: Mapping[str, Array]) -> tuple[Array, dict]:
    output, _ = network.apply({"params": params, **rest}, x, train)
    return network.method.loss(output, batch, network.side, network.criterion)

  of_score = jax.value_and_grad(score, has_aux=True)
  of_loss = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
  compute = jax.jit(lambda params, x: (of_score(x), of_loss(params, x)))
  scored, lost = jax.device_get(compute(params, dict(inputs)))
  (_, (output, changed)), grad = scored
  (total, parts), (grad_params, grad_input) = lost
  outputs = network.case.outputs(output, golden)
  found: Results = {f"output/{k}": np.asarray(v) for k, v in outputs.items()}
  if network.backbone is not None:
    found["output/feature"] = nchw(output.aux["maps"]["final"])
  found |= {"loss/total": total}
  found |= {f"loss/{name}": part for name, part in parts.items()}
  found |= _input_gradients("grad", grad, network)
  found |= _input_gradients("grad_loss", grad_input, network)
  found |= _parameter_norms(network, grad_params)
  return found | _statistics(network, changed)


def _input_gradients(
  group: str, grads: Mapping[str, Array], network: Network
) -> Results:
  names = getattr(network.case, "MAPS", {"feature": "final"})
  theirs = {ours: name for name, ours in names.items()}
  found = {}
  for ours, grad in grads.items():
    name = "input" if len(grads) == 1 else f"input_{theirs[ours]}"
    found[f"{group}/{name}"] = nchw(grad)
    found[f"{group}_norm/{name}"] = np.linalg.norm(grad)
  return found


def _parameter_norms(network: Network, grads: Tree) -> Results:
  """Returns the norm of the gradient of each torch parameter."""
  frozen = getattr(network.case, "FROZEN", None)
  squares = {
    path: float(np.square(leaf).sum())
    for path, leaf in paths(grads, "params").items()
  }
  found = {}
  for key in network.golden.state:
    total = 0.0
    for part in key_rules.split_attention({key: np.zeros(3)}):
      total += squares.get(path_of(network.layout, part), 0.0)
    if frozen and re.fullmatch(frozen, key):
      total = 0.0
    found[f"grad_loss_norm/{key}"] = np.sqrt(total)
  return found


def _statistics(network: Network, changed: Tree) -> Results:
  """Returns the running statistics after a pass, by torch key."""
  stats = paths(changed.get("batch_stats", {}), "batch_stats")
  found = {}
  for key in network.golden.state:
    path = path_of(network.layout, key)
    if path in stats:
      found[f"state/{key}"] = stats[path]
  return found


def path_of(layout: ModuleType, key: str) -> str:
  """Returns our path for a torch key: collection/part/layer/tensor."""
  name = layout.backbone_key(key)
  part = "head" if name is None else "backbone"
  path = layout.variable(key) if name is None else resnet_table.variable(name)
  collection, _, rest = (path or "").partition("/")
  return f"{collection}/{part}/{rest}"


def paths(tree: Tree, collection: str) -> dict[str, Array]:
  """Returns the leaves of one collection by path."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    f"{collection}/"
    + jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in leaves
  }


def nhwc(x: np.ndarray) -> Array:
  """Returns an image or a map with its channels last."""
  return jnp.asarray(np.asarray(x, np.float32).transpose(0, 2, 3, 1))


def nchw(x: Array) -> np.ndarray:
  """Returns an image or a map with its channels first."""
  return np.asarray(x).transpose(0, 3, 1, 2)
