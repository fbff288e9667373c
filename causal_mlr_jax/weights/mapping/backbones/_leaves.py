"""The tensors of convolutions and batch normalisations."""

from __future__ import annotations

CONV = {"weight": "params/{}/kernel"}
BATCH_NORM = {
  "weight": "params/{}/scale",
  "bias": "params/{}/bias",
  "running_mean": "batch_stats/{}/mean",
  "running_var": "batch_stats/{}/var",
}


def variable(layer: str, leaf: str) -> str | None:
  """Returns the path of a layer's tensor, or None if it has no such tensor.

  Args:
    layer: Path of the layer; its last part contains "conv" or "bn".
    leaf: PyTorch's name of the tensor.
  """
  leaves = CONV if "conv" in layer.rpartition("/")[2] else BATCH_NORM
  return leaves[leaf].format(layer) if leaf in leaves else None
