"""Keys of C-Tran's checkpoints (QData/C-Tran)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

# No checkpoint is published, and the order of labels in its data files is not
# known; this is the order in COCO's own annotations.
LABEL_ORDER = "category_id"
# A model without known labels (`use_state=False`) does not use the table.
IGNORED = r"known_label_lt\.weight"
LAYER = r"self_attn_layers\.(\d+)\.transformer_layer\."
RULES = (
  (LAYER + r"self_attn\.(\w+)_proj", "dense", r"encoder_\1/self_attention/\2"),
  (LAYER + r"(linear\d)", "dense", r"encoder_\1/feed_forward/\2"),
  (LAYER + "norm1", "norm", r"encoder_\1/norm1"),
  (LAYER + "norm2", "norm", r"encoder_\1/feed_forward/norm"),
  ("LayerNorm", "norm", "norm"),
  ("label_lt", "embedding", "label_embedding"),
  ("known_label_lt", "embedding", "state_embedding"),
  ("output_linear", "label_linear", "classifier"),
)
variable = key_rules.variable_of(RULES)
# The checkpoint has the whole ResNet, including its `fc`, which is not used.
backbone_key = key_rules.prefixed("backbone.base_network.")


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  labels, width = state["label_lt.weight"].shape
  first = "self_attn_layers.0.transformer_layer.linear1.bias"
  return {
    "num_labels": labels,
    "embed_dim": width,
    "hidden": state[first].shape[0],
    "num_layers": key_rules.count(state, LAYER),
  }
