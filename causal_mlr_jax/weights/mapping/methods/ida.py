"""Keys of IDA's checkpoints (yu-gi-oh-leilei/IDA_2023ICLR)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "category_id"
IGNORED = ""
LAYER = r"clf\.att_layers\.layers\.(\d+)\."
PROJECTIONS = {"q": "query", "k": "key", "v": "value", "out": "out"}
RULES = (
  # [N, C / A, 1, 1]: one query per label
  (r"clf\.head\.(\d+)", "embedding", r"head_\1"),
  *(
    (
      LAYER + rf"att\.{theirs}_proj",
      "dense",
      rf"layer_\1/self_attention/{ours}",
    )
    for theirs, ours in PROJECTIONS.items()
  ),
  (LAYER + r"(linear\d)", "dense", r"layer_\1/feed_forward/\2"),
  (LAYER + "norm1", "norm", r"layer_\1/norm1"),
  (LAYER + "norm2", "norm", r"layer_\1/feed_forward/norm"),
  (r"clf\.out_proj", "dense", "out"),
)
# Axes of length 1 of the published arrays.
AXES = {r"clf\.head\.\d+\.weight": (2, 3)}
variable = key_rules.variable_of(RULES)
backbone_key = key_rules.sequential_resnet("backbone.resnet_layer.")


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  hidden = state.get("clf.att_layers.layers.0.linear1.bias")
  found = {
    "num_labels": state["clf.head.0.weight"].shape[0],
    "num_heads": key_rules.count(state, r"clf\.head\.(\d+)\."),
    "num_layers": key_rules.count(state, LAYER),
    "heavy": hidden is not None,
  }
  return found if hidden is None else found | {"hidden": hidden.shape[0]}
