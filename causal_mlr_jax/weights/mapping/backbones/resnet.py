"""Keys of torchvision's and timm's ResNets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from causal_mlr_jax.weights.mapping.backbones import _leaves

IGNORED = r"fc\..*|.*\.num_batches_tracked"
KEY = re.compile(
  r"(?:layer(?P<stage>\d+)\.(?P<block>\d+)\.)?"
  r"(?P<layer>conv\d|bn\d|downsample\.[01])\.(?P<leaf>\w+)"
)
DOWNSAMPLE = {
  "downsample.0": "downsample_conv",
  "downsample.1": "downsample_bn",
}
STATISTICS = {"mean": "running_mean", "var": "running_var"}


def variable(key: str) -> str | None:
  """Returns the path of our variable for a torch key, or None."""
  match = KEY.fullmatch(key)
  if match is None:
    return None
  layer = DOWNSAMPLE.get(match["layer"], match["layer"])
  if match["stage"]:
    layer = f"layer{match['stage']}_{match['block']}/{layer}"
  return _leaves.variable(layer, match["leaf"])


def key_of(path: str) -> str:
  """Returns torchvision's key of our variable, the inverse of `variable`.

  Args:
    path: For example 'params/layer1_0/conv1/kernel'.
  """
  collection, *layers, leaf = path.split("/")
  if collection == "batch_stats":
    leaf = STATISTICS[leaf]
  elif leaf != "bias":
    leaf = "weight"
  for theirs, ours in DOWNSAMPLE.items():
    layers = [theirs if layer == ours else layer for layer in layers]
  if len(layers) > 1:
    layers[0] = layers[0].replace("_", ".")
  key = ".".join([*layers, leaf])
  assert variable(key) == path, (path, key)
  return key


def fields(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the fields of `Backbone` that the arrays determine.

  Args:
    state: Arrays by torchvision's keys.
  """
  blocks = [re.match(r"layer(\d+)\.(\d+)\.", key) for key in state]
  sizes: dict[int, int] = {}
  for match in filter(None, blocks):
    stage = int(match[1])
    sizes[stage] = max(sizes.get(stage, 0), int(match[2]) + 1)
  bottleneck = any(".conv3." in key for key in state)
  return {
    "stage_sizes": tuple(sizes[stage] for stage in sorted(sizes)),
    "block": "bottleneck" if bottleneck else "basic",
    "width": state["conv1.weight"].shape[0],
  }
