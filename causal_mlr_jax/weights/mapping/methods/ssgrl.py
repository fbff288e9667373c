"""Keys of SSGRL's checkpoints (HCPLab-SYSU/SSGRL)."""

from __future__ import annotations

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "category_id"
# The reset gate's matrix for the state, which the published code never reads.
IGNORED = r"graph_net\.fc_eq4_u\.(weight|bias)"
RULES = (
  (r"word_semantic\.fc_1", "dense", "semantic/position"),
  (r"word_semantic\.fc_2", "dense", "semantic/word"),
  (r"word_semantic\.fc_3", "dense", "semantic/joint"),
  (r"word_semantic\.fc_a", "dense", "semantic/score"),
  (r"graph_net\.fc_eq3_w", "dense", "graph/update_message"),
  (r"graph_net\.fc_eq3_u", "dense", "graph/update"),
  (r"graph_net\.fc_eq4_w", "dense", "graph/reset_message"),
  # Only the variant 'corrected' has it; it starts from the file's values.
  (r"graph_net\.fc_eq4_u", "dense", "graph/reset"),
  (r"graph_net\.fc_eq5_w", "dense", "graph/new_message"),
  (r"graph_net\.fc_eq5_u", "dense", "graph/new"),
  ("fc_output", "dense", "output"),
  ("classifiers", "label_linear", "classifier"),
)
variable = key_rules.variable_of(RULES)
backbone_key = key_rules.prefixed("resnet_101.")
fields = key_rules.fields_of(
  {
    "num_labels": ("classifiers.weight", 0),
    "joint_dim": ("word_semantic.fc_1.weight", 0),
    "output_dim": ("fc_output.weight", 0),
  }
)
