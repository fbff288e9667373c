"""Keys of plain classifiers: a ResNet and one linear layer.

The checkpoints of three programs: torchvision's own names; these names after
`resnet.` (princetonvisualai/ContextualBias, all of its methods); a ResNet in a
Sequential beside `fc` (the baseline of yu-gi-oh-leilei/IDA_2023ICLR, whose two
poolings are both the average).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "category_id"
IGNORED = r"(?!)"  # nothing
CLASSIFIER = r"(?:resnet\.)?fc"
PLAIN = re.compile(r"(?:resnet\.)?((?:conv1|bn1|layer\d)\..*)")
variable = key_rules.variable_of(((CLASSIFIER, "dense", "classifier"),))
_sequential = key_rules.sequential_resnet("backbone.resnet_layer.")


def backbone_key(key: str) -> str | None:
  """Returns torchvision's name of a key of the backbone, or None."""
  match = PLAIN.fullmatch(key)
  return match[1] if match else _sequential(key)


def published_backbone_key(name: str) -> str:
  """Returns the published key of torchvision's name: the same."""
  return name


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  sizes = (
    len(value)
    for key, value in state.items()
    if re.fullmatch(CLASSIFIER + r"\.bias", key)
  )
  return {"num_labels": next(sizes)}
