"""Keys of ADD-GCN's checkpoints (Yejin0111/ADD-GCN)."""

from __future__ import annotations

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "alphabetical"
# The identity matrix by which the published code takes a diagonal.
IGNORED = "mask_mat"
RULES = (
  ("conv_transform", "dense", "nodes/transform"),
  (r"gcn\.static_adj\.0", "dense", "static_adjacency"),
  (r"gcn\.static_weight\.0", "dense", "static_transform"),
  (r"gcn\.conv_global", "dense", "graph/context"),
  (r"gcn\.bn_global", "batch_norm", "graph/context_norm"),
  (r"gcn\.conv_create_co_mat", "dense", "graph/adjacency"),
  (r"gcn\.dynamic_weight", "dense", "graph/transform"),
  ("last_linear", "label_linear", "classifier"),
  ("fc", "dense", "nodes/classifier"),
)
# Axes of length 1 of the published arrays.
AXES = {
  r"(fc|conv_transform)\.weight": (2, 3),
  r"gcn\.(static|conv|dynamic)_.*weight|last_linear\.weight": (2,),
}
variable = key_rules.variable_of(RULES)
backbone_key = key_rules.sequential_resnet("features.")
fields = key_rules.fields_of(
  {
    "num_labels": ("last_linear.weight", 0),
    "embed_dim": ("last_linear.weight", 1),
  }
)
