"""Our variables of whole methods under the keys of the published programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.weights.mapping import convert, key_rules, published_methods


def check(method_name: str, backbone_name: str = "resnet") -> None:
  """Checks that a method's checkpoints have a published layout.

  Args:
    method_name: Name of a method.
    backbone_name: Name of a backbone.

  Raises:
    UserError: They have none.
  """
  known = lookup.names(published_methods.LAYOUTS)
  if method_name not in known:
    raise UserError(
      f"No published program has the method {method_name!r}, so there are no "
      f"keys to write. The methods with published keys: {', '.join(known)}. "
      "Use --format=safetensors, which this program reads."
    )
  if backbone_name != "resnet":
    raise UserError(
      f"The published program of {method_name!r} has a ResNet, and this model "
      f"the backbone {backbone_name!r}, so there are no keys to write. Use "
      "--format=safetensors, which this program reads."
    )


def state_dict(method_name: str, variables: Tree) -> dict[str, np.ndarray]:
  """Returns variables by the keys, and in the axes, of the published program.

  It is the inverse of `published_methods.convert_method`. What only the
  published program has, such as constants that it computes, is left out.

  Args:
    method_name: Name of a file in `weights/mapping/methods`.
    variables: Variables of the model: collections of {'backbone', 'head'}; the
      backbone is a ResNet, or absent.

  Raises:
    UserError: The published program does not have one of the variables.
  """
  layout = published_methods.layout_of(method_name)
  prefix = getattr(layout, "PREFIX", "")
  own = tuple(getattr(layout, "OWN", ()))
  found = {}
  for full, value in convert.by_path(variables).items():
    collection, part, rest = full.split("/", 2)
    path = f"{collection}/{rest}"
    if part == "head" and any(re.fullmatch(p, path) for p in own):
      continue
    key = _backbone(layout)(path) if part == "backbone" else _head(layout, path)
    found[prefix + key] = _published(layout, key, path, np.asarray(value))
  return key_rules.stack_attention(found)


def _head(layout: ModuleType, path: str) -> str:
  key = layout.variable.key_of(path)
  if key is None:
    raise UserError(
      f"The published program has no array for {path}, which this model has: "
      "its options are none of the published ones. Use --format=safetensors."
    )
  return key


def _backbone(layout: ModuleType) -> Callable[[str], str]:
  published = getattr(layout, "published_backbone_key", None)
  published = published or layout.backbone_key.published
  key_of = lookup.module(convert.TABLES, "resnet").key_of
  return lambda path: published(key_of(path))


def _published(
  layout: ModuleType, key: str, path: str, value: np.ndarray
) -> np.ndarray:
  """Undoes the change of axes of `convert.assign`."""
  if path.endswith("/kernel"):
    value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
  for pattern, axes in getattr(layout, "AXES", {}).items():
    if re.fullmatch(pattern, key):
      value = np.expand_dims(value, axes)
  return np.array(value, order="C")
