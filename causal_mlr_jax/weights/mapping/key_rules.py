"""Rules that map published keys to our layers.

A rule is (regular expression of the layer's torch name, kind, our path in the
head); the kind determines the names of the layer's tensors on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Rule = tuple[str, str, str]
# Kind: {torch's name of a tensor: pattern of our path}.
KINDS = {
  "dense": {"weight": "params/{}/kernel", "bias": "params/{}/bias"},
  "norm": {"weight": "params/{}/scale", "bias": "params/{}/bias"},
  "batch_norm": {
    "weight": "params/{}/scale",
    "bias": "params/{}/bias",
    "running_mean": "batch_stats/{}/mean",
    "running_var": "batch_stats/{}/var",
  },
  # one weight vector and bias per label, see `nn/heads/label_linear.py`
  "label_linear": {"weight": "params/{}/weight", "bias": "params/{}/bias"},
  "embedding": {"weight": "params/{}"},
}
# PyTorch's MultiheadAttention stacks the rows of three projections.
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
    rules: Rules; the first whose expression matches a layer's whole name
      applies.
    constants: Complete paths of our variables by complete torch key.
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
    state: Arrays by torch key.
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
  """Returns the number of values that a pattern's group takes in the keys."""
  matches = (re.match(pattern, key) for key in state)
  return len({match[1] for match in matches if match})


def sequential_resnet(prefix: str) -> Callable[[str], str | None]:
  """Returns a function from keys of a ResNet in a Sequential to torchvision's.

  Args:
    prefix: Prefix before the index in the Sequential.
  """

  def backbone_key(key: str) -> str | None:
    if not key.startswith(prefix):
      return None
    place, _, rest = key.removeprefix(prefix).partition(".")
    return f"{SEQUENTIAL[place]}.{rest}" if place in SEQUENTIAL else None

  return backbone_key


def prefixed(prefix: str) -> Callable[[str], str | None]:
  """Returns a function that removes a prefix; it maps other keys to None."""

  def backbone_key(key: str) -> str | None:
    return key.removeprefix(prefix) if key.startswith(prefix) else None

  return backbone_key


def fields_of(
  sizes: Mapping[str, tuple[str, int]],
) -> Callable[[Mapping[str, np.ndarray]], dict[str, object]]:
  """Returns a function from a state dict to the fields of `Head`.

  Args:
    sizes: For each field, the key of an array and the axis whose size it is.
  """

  def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
    return {name: state[key].shape[axis] for name, (key, axis) in sizes.items()}

  return fields
