"""Rules that map published keys to our layers.

A rule is (regular expression of the layer's torch name, kind, our path in the
head); the kind determines the names of the layer's tensors on both sides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

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
SPLIT = re.compile(r"(.*)\.query_proj\.(weight|bias)")
# A group of an expression, and one that a name may lack.
GROUP = re.compile(r"\(([^?()][^()]*)\)")
OPTIONAL = re.compile(r"\(\?:[^()]*\)\?")
SEQUENTIAL = {
  "0": "conv1",
  "1": "bn1",
  "4": "layer1",
  "5": "layer2",
  "6": "layer3",
  "7": "layer4",
}


class KeyRules:
  """Maps a torch key to the path of our variable, and back.

  Attributes:
    rules: Compiled expressions, the expressions, kinds and paths.
    constants: Complete paths by complete torch key.
  """

  def __init__(self, rules: Sequence[Rule], constants: Mapping[str, str]):
    self.rules = [(re.compile(r), r, kind, path) for r, kind, path in rules]
    self.constants = constants

  def __call__(self, key: str) -> str | None:
    """Returns the path of our variable for a torch key, or None."""
    if key in self.constants:
      return self.constants[key]
    layer, _, leaf = key.rpartition(".")
    for pattern, _, kind, path in self.rules:
      match = pattern.fullmatch(layer)
      if match and leaf in KINDS[kind]:
        return KINDS[kind][leaf].format(match.expand(path))
    return None

  def key_of(self, path: str) -> str | None:
    """Returns the torch key of our variable, or None if no rule gives it.

    Of several names of a layer it is the first one in the rule.
    """
    for key, constant in self.constants.items():
      if constant == path:
        return key
    for _, source, kind, layer in self.rules:
      for leaf, pattern in KINDS[kind].items():
        match = re.fullmatch(_as_pattern(pattern.format(layer), source), path)
        key = match and f"{_filled(source, match.groupdict())}.{leaf}"
        if key and self(key) == path:
          return key
    return None


def _as_pattern(path: str, source: str) -> str:
  r"""Returns an expression for our paths; \1 becomes the first group."""
  groups = GROUP.findall(source)
  parts = re.split(r"\\(\d)", path)
  for i in range(0, len(parts), 2):
    parts[i] = re.escape(parts[i])
  for i in range(1, len(parts), 2):
    number = int(parts[i])
    parts[i] = f"(?P<g{number}>{groups[number - 1]})"
  return "".join(parts)


def _filled(source: str, values: Mapping[str, str]) -> str:
  """Returns the name that an expression of a layer matches."""
  numbers = itertools.count(1)
  first = OPTIONAL.sub("", source).partition("|")[0]
  name = GROUP.sub(lambda _: values[f"g{next(numbers)}"], first)
  return name.replace("\\.", ".")


def variable_of(
  rules: Sequence[Rule], constants: Mapping[str, str] | None = None
) -> KeyRules:
  """Returns a function from a torch key to the path of our variable.

  Args:
    rules: Rules; the first whose expression matches a layer's whole name
      applies.
    constants: Complete paths of our variables by complete torch key.
  """
  return KeyRules(rules, constants or {})


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


def stack_attention(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Undoes `split_attention`.

  Args:
    state: Arrays by torch key.
  """
  found = dict(state)
  for key in state:
    match = SPLIT.fullmatch(key)
    if match is None:
      continue
    names = [
      f"{match[1]}.{n}_proj.{match[2]}" for n in ("query", "key", "value")
    ]
    parts = [found.pop(name) for name in names]
    found[f"{match[1]}.in_proj_{match[2]}"] = np.concatenate(parts)
  return found


def count(state: Mapping[str, np.ndarray], pattern: str) -> int:
  """Returns the number of values that a pattern's group takes in the keys."""
  matches = (re.match(pattern, key) for key in state)
  return len({match[1] for match in matches if match})


class BackboneKeys(NamedTuple):
  """Maps a published key of a backbone to its own name, and back.

  Attributes:
    prefix: Prefix of the published keys.
    places: The first part of names by what stands for it after the prefix;
      empty where names are kept.
  """

  prefix: str
  places: Mapping[str, str]

  def __call__(self, key: str) -> str | None:
    """Returns the backbone's own name of a key, or None."""
    if not key.startswith(self.prefix):
      return None
    name = key.removeprefix(self.prefix)
    if not self.places:
      return name
    place, _, rest = name.partition(".")
    return f"{self.places[place]}.{rest}" if place in self.places else None

  def published(self, name: str) -> str:
    """Returns the published key of a name."""
    first, _, rest = name.partition(".")
    for place, ours in self.places.items():
      if ours == first:
        return f"{self.prefix}{place}.{rest}"
    return self.prefix + name


def sequential_resnet(prefix: str) -> BackboneKeys:
  """Returns a function from keys of a ResNet in a Sequential to torchvision's.

  Args:
    prefix: Prefix before the index in the Sequential.
  """
  return BackboneKeys(prefix, SEQUENTIAL)


def prefixed(prefix: str) -> BackboneKeys:
  """Returns a function that removes a prefix; it maps other keys to None."""
  return BackboneKeys(prefix, {})


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
