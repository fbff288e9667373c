"""Keys of torchvision's and timm's ResNets."""

from __future__ import annotations

import re

IGNORED = r"fc\..*|.*\.num_batches_tracked"
NORM = {
  "weight": "params/{}/scale",
  "bias": "params/{}/bias",
  "running_mean": "batch_stats/{}/mean",
  "running_var": "batch_stats/{}/var",
}
KEY = re.compile(
  r"(?:layer(?P<stage>\d+)\.(?P<block>\d+)\.)?"
  r"(?P<layer>conv\d|bn\d|downsample\.0|downsample\.1)\.(?P<leaf>\w+)"
)
DOWNSAMPLE = {
  "downsample.0": "downsample_conv",
  "downsample.1": "downsample_bn",
}


def variable(key: str) -> str | None:
  """Returns the path of our variable for a torch key, None if none."""
  match = KEY.fullmatch(key)
  if match is None:
    return None
  layer = DOWNSAMPLE.get(match["layer"], match["layer"])
  path = layer
  if match["stage"]:
    path = f"layer{match['stage']}_{match['block']}/{layer}"
  if "conv" in layer:
    return f"params/{path}/kernel" if match["leaf"] == "weight" else None
  template = NORM.get(match["leaf"])
  return template.format(path) if template else None
