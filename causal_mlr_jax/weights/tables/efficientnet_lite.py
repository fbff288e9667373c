"""Keys of EfficientNet-Lite in PyTorch: ours with an underscore before."""

from __future__ import annotations

import re

IGNORED = r"_fc\..*|.*\.num_batches_tracked"
NORM = {
  "weight": "params/{}/scale",
  "bias": "params/{}/bias",
  "running_mean": "batch_stats/{}/mean",
  "running_var": "batch_stats/{}/var",
}
KEY = re.compile(
  r"(?:_blocks\.(?P<block>\d+)\.)?"
  r"_(?P<layer>bn\d|(?:\w+_)?conv(?:_\w+)?)\.(?P<leaf>\w+)"
)


def variable(key: str) -> str | None:
  """Returns the path of our variable for a torch key, None if none."""
  match = KEY.fullmatch(key)
  if match is None:
    return None
  path = match["layer"]
  if match["block"]:
    path = f"blocks_{match['block']}/{path}"
  if "conv" in match["layer"]:
    return f"params/{path}/kernel" if match["leaf"] == "weight" else None
  template = NORM.get(match["leaf"])
  return template.format(path) if template else None
