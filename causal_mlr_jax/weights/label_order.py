"""Re-orders the labels of a checkpoint to the order of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Cooccurrence, Side, Tree
from causal_mlr_jax.training import model as model_lib

# Image shape that is large enough for every method; only shapes are computed.
IMAGE = (model_lib.EXAMPLES, 256, 256, 3)
# Label axes of the side inputs.
SIDE_AXES = {
  "label_embeddings": (0,),
  "label_prototypes": (0,),
  "label_state": (1,),
}


def label_axes(
  config: ml_collections.ConfigDict, num_labels: int, side: Side
) -> dict[str, tuple[int, ...]]:
  """Returns the label axes of each variable of the head, by path.

  They are the axes whose length changes with the number of labels.

  Args:
    config: The configuration, see `configs/common.py`.
    num_labels: Number of labels N.
    side: The method's side inputs.
  """

  def shapes(extra: int) -> dict[str, tuple[int, ...]]:
    model = model_lib.make_model(config, num_labels + extra)
    image = jax.ShapeDtypeStruct(IMAGE, jnp.uint8)
    found = jax.eval_shape(
      lambda key, image, side: model.init(key, image, side, train=False),
      jax.random.key(0),
      image,
      _grown(side, extra),
    )
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return {path_of(path): leaf.shape for path, leaf in leaves}

  one, other = shapes(0), shapes(1)
  return {
    path: axes
    for path in one
    if (
      axes := tuple(
        axis
        for axis, (a, b) in enumerate(zip(one[path], other[path], strict=True))
        if a != b
      )
    )
  }


def _grown(side: Side, extra: int) -> dict[str, Any]:
  """Returns the shapes of the side inputs for `extra` more labels."""

  def grown(x: Any, axes: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    shape = (n + extra * (axis in axes) for axis, n in enumerate(x.shape))
    return jax.ShapeDtypeStruct(tuple(shape), x.dtype)

  found = {}
  for name, value in side.items():
    if isinstance(value, Cooccurrence):
      counts, nums = value
      found[name] = value._replace(
        counts_NN=grown(counts, (0, 1)), nums_N=grown(nums, (0,))
      )
    else:
      axes = SIDE_AXES.get(name, ())
      found[name] = jax.tree.map(lambda x, axes=axes: grown(x, axes), value)
  return found


def reorder(
  variables: Tree,
  axes: Mapping[str, tuple[int, ...]],
  order: Sequence[str],
  labels: Sequence[str],
) -> Tree:
  """Returns variables with their labels in the order of the data set.

  Args:
    variables: Variables whose labels are in `order`.
    axes: Label axes from `label_axes`.
    order: Names of the labels in the order of the variables.
    labels: Names of the labels in the order of the data set.

  Raises:
    UserError: The two sets of names differ.
  """
  if set(order) != set(labels) or len(order) != len(labels):
    odd = sorted(set(order) ^ set(labels))
    raise UserError(
      f"The weights are for other labels than the data set's: {len(order)} and "
      f"{len(labels)}, and {', '.join(odd[:10])} only in one of them. Use a "
      "data set with the same labels, or load only the backbone with "
      "--config.init_allow_missing=\"('.*/head/.*',)\"."
    )
  places = np.asarray([list(order).index(label) for label in labels])

  def moved(key_path: Any, value: np.ndarray) -> np.ndarray:
    for axis in axes.get(path_of(key_path), ()):
      value = np.take(np.asarray(value), places, axis)
    return value

  return jax.tree_util.tree_map_with_path(moved, variables)
