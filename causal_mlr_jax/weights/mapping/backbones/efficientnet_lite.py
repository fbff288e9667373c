"""Keys of EfficientNet-Lite in PyTorch: our names with a leading underscore."""

from __future__ import annotations

import re

from causal_mlr_jax.weights.mapping.backbones import _leaves

IGNORED = r"_fc\..*|.*\.num_batches_tracked"
KEY = re.compile(
  r"(?:_blocks\.(?P<block>\d+)\.)?_(?P<layer>bn\d|\w*conv\w*)\.(?P<leaf>\w+)"
)


def variable(key: str) -> str | None:
  """Returns the path of our variable for a torch key, or None."""
  match = KEY.fullmatch(key)
  if match is None:
    return None
  layer = match["layer"]
  if match["block"]:
    layer = f"blocks_{match['block']}/{layer}"
  return _leaves.variable(layer, match["leaf"])
