"""Parts that the cases of the methods of Singh et al. share.

Their files hold the maps of a backbone, the linear layer, and one or more
training batches without updates of the weights. Gradients are under
`grad_loss/state/` by the names of the state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.core.types import Array, Features, Method, Side, Tree
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.criterion import make_criterion
from causal_mlr_jax.weights.mapping import published_methods
from causal_mlr_jax.weights.parity import heads
from causal_mlr_jax.weights.parity.golden import Golden


def method_of(name: str, golden: Golden, **fields: Any) -> tuple[Any, Any]:
  """Returns a method's module, and its head with the sizes of the file.

  Args:
    name: Name of the method.
    golden: The file.
    **fields: Fields of the head that the arrays do not determine.
  """
  method = model_lib.find_method(name)
  fields |= published_methods.layout_of(name).fields(golden.state)
  return method, method.Head(**fields)


def features_of(feature_BCHW: np.ndarray) -> Features:
  """Returns a file's maps, which have channels first, as `Features`."""
  final_BHWC = heads.nhwc(feature_BCHW)
  return Features({"final": final_BHWC}, final_BHWC.mean((1, 2)))


def variables_of(
  name: str, head: Any, features: Features, state: Mapping[str, np.ndarray]
) -> Tree:
  """Returns a head's variables with the values of a published state.

  Args:
    name: Name of the method.
    head: Head from `method_of`.
    features: Features to initialise the head with.
    state: Arrays by torch key.
  """
  init = jax.jit(functools.partial(head.init, train=False))
  variables = init(jax.random.key(0), features, {})
  target = {k: {"head": v} for k, v in variables.items()}
  found = published_methods.convert_head(name, state, target)
  return published_methods.part_of(found, "head")


def run_batch(
  method: Method,
  head: Any,
  variables: Tree,
  batch: tuple[np.ndarray, np.ndarray],
  side: Side,
) -> tuple[Any, ...]:
  """Runs one training batch.

  Args:
    method: Module from `method_of`.
    head: Head from `method_of`.
    variables: Variables of the head.
    batch: Maps [B, C, H, W] and labels [B, N].
    side: Side inputs.

  Returns:
    The loss, its terms, the output, the changed variables, and the gradients of
    the parameters and of the maps [B, H, W, C].
  """
  final_BHWC, labels_BN = heads.nhwc(batch[0]), np.asarray(batch[1], np.float32)
  return _run(method, head, variables, final_BHWC, labels_BN, side)


@functools.partial(jax.jit, static_argnames=("method", "head"))
def _run(
  method: Method,
  head: Any,
  variables: Tree,
  final_BHWC: Array,
  labels_BN: Array,
  side: Side,
) -> tuple[Any, ...]:
  section = ml_collections.ConfigDict(heads.section())
  criterion = make_criterion(section, *labels_BN.shape)
  mutable = [c for c in variables if c != "params"]

  def loss(params: Tree, final: Array) -> tuple[Array, tuple]:
    features = Features({"final": final}, final.mean((1, 2)))
    output, changed = head.apply(
      {**variables, "params": params},
      features,
      {**side, "labels": labels_BN},
      train=True,
      mutable=mutable,
    )
    value, parts = method.loss(output, {"labels": labels_BN}, side, criterion)
    return value, (parts, output, changed)

  run: Callable = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
  (value, aux), grads = run(variables["params"], final_BHWC)
  return value, *aux, *grads


def by_torch_key(
  name: str, golden: Golden, grads: Tree
) -> dict[str, np.ndarray]:
  """Returns the parameters' gradients in the file's layout, by torch key.

  Args:
    name: Name of the method.
    golden: The file.
    grads: Gradients of the head's parameters.
  """
  layout = published_methods.layout_of(name)
  leaves = heads.paths({"head": grads}, "params")
  found = {}
  for key in golden.state:
    path = heads.path_of(layout, key)
    grad = np.asarray(leaves[path])
    found[key] = grad.T if path.endswith("/kernel") else grad
  return found
