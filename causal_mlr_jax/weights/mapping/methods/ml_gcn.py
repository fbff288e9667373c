"""Keys of ML-GCN's checkpoints (megvii-research/ML-GCN)."""

from __future__ import annotations

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
fields = key_rules.fields_of(
  {
    "num_labels": ("A", 0),
    "hidden": ("gc1.weight", 1),
  }
)
