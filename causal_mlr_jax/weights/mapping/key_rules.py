"""Published keys as rules: which layer is which of ours, and of what kind.

A rule is (regular expression of the layer's torch name, kind, our path in the
head); the kind says what the layer's tensors are called on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Rule = tuple[str, str, str]
# Kind: torch's name of a tensor -> where our path goes on.
KINDS = {
  "dense": {"weight": "params/{}/kernel", "bias": "params/{}/bias"},
  "norm": {"weight": "params/{}/scale", "bias": "params/{}/bias"},
  "batch_norm": {
    "weight": "params/{}/scale",
    "bias": "params/{}/bias",
    "running_mean": "batch_stats/{}/mean",
    "running_var": "batch_stats/{}/var",
  },
  # one vector and number a label, see `nn/label_linear.py`
  "label_linear": {"weight": "params/{}/weight", "bias": "params/{}/bias"},
  "embedding": {"weight": "params/{}"},
}
# torch's MultiheadAttention stacks the rows of three projections.
STACKED = re.compile(r"(.*)\.in_proj_(weight|bias)")
SEQUENTIAL = {
  "0": "conv1",
  "1": "bn1",
  "4": "layer1",
  "5": "layer2",
  "6": "layer3",
  "7": "layer4",
}


def variable_of(
  rules: Sequence[Rule], constants: Mapping[str, str] | None = None
) -> Callable[[str], str | None]:
  """Returns a function from a torch key to the path of our variable.

  Args:
    rules: the first whose expression matches the whole name of the layer.
    constants: whole keys, and the path of the variable as it is.
  """
  compiled = [(re.compile(r), kind, path) for r, kind, path in rules]

  def variable(key: str) -> str | None:
    if constants and key in constants:
      return constants[key]
    layer, _, leaf = key.rpartition(".")
    for pattern, kind, path in compiled:
      match = pattern.fullmatch(layer)
      if match and leaf in KINDS[kind]:
        return KINDS[kind][leaf].format(match.expand(path))
    return None

  return variable


def split_attention(
  state: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Splits stacked projections: `x.in_proj_weight` to `x.query_proj.weight`...

  Args:
    state: arrays by torch key.
  """
  found = {}
  for key, value in state.items():
    match = STACKED.fullmatch(key)
    if match is None:
      found[key] = value
      continue
    for name, rows in zip(
      ("query", "key", "value"), np.split(value, 3), strict=True
    ):
      found[f"{match[1]}.{name}_proj.{match[2]}"] = rows
  return found


def count(state: Mapping[str, np.ndarray], pattern: str) -> int:
  """Returns how many numbers the group of a pattern takes among the keys."""
  matches = (re.match(pattern, key) for key in state)
  return len({match[1] for match in matches if match})


def sequential_resnet(prefix: str) -> Callable[[str], str | None]:
  """Returns a function from keys of a ResNet in a Sequential to torchvision's.

  Args:
    prefix: before the place in the Sequential.
  """

  def backbone_key(key: str) -> str | None:
    if not key.startswith(prefix):
      return None
    place, _, rest = key.removeprefix(prefix).partition(".")
    return f"{SEQUENTIAL[place]}.{rest}" if place in SEQUENTIAL else None

  return backbone_key


def prefixed(prefix: str) -> Callable[[str], str | None]:
  """Returns a function that takes a prefix off; None for keys without it."""

  def backbone_key(key: str) -> str | None:
    return key.removeprefix(prefix) if key.startswith(prefix) else None

  return backbone_key
