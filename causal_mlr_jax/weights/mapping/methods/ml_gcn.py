"""Keys of ML-GCN's checkpoints (megvii-research/ML-GCN)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "alphabetical"
IGNORED = ""
# The matrices are stored as (in, out), like ours, so none is transposed.
RULES = (
  ("gc1", "embedding", "graph1/weight"),
  ("gc2", "embedding", "graph2/weight"),
)
variable = key_rules.variable_of(RULES, {"A": "constants/adjacency"})
backbone_key = key_rules.sequential_resnet("features.")


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  return {
    "num_labels": state["A"].shape[0],
    "hidden": state["gc1.weight"].shape[1],
  }
