"""Keys of CCD's checkpoints (yu-gi-oh-leilei/CCD_MLIC)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "category_id"
# A checkpoint of the first stage has the second stage's arrays, untrained.
IGNORED = r"clf\.(memory|selector\..*|logit_clf\..*)"
RULES = (
  (r"clf\.context_clf", "label_linear", "context"),
  (r"clf\.logit_clf", "label_linear", "classifier"),
  (r"clf\.selector", "dense", "selector"),
  (r"clf\.selector\.layers\.(\d+)", "dense", r"selector_\1"),
)
variable = key_rules.variable_of(RULES, {"clf.memory": "constants/memory"})
backbone_key = key_rules.sequential_resnet("backbone.resnet_layer.")


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  labels, channels = state["clf.context_clf.weight"].shape
  fuse = "none"
  if "clf.selector.weight" in state:
    fuse = "selector"
  elif "clf.selector.layers.0.weight" in state:
    inputs = state["clf.selector.layers.0.weight"].shape[1]
    fuse = "mlp" if inputs == channels else "concat"
  return {"num_labels": labels, "fuse": fuse}
