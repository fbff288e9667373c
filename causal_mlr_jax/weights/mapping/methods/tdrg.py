"""Keys of TDRG's checkpoints (iCVTEAM/TDRG), current and older ones.

The published COCO checkpoint was written before names in the code changed; the
older name is the second alternative of a rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "alphabetical"
# Arrays that the published code does not use: the identity by which it takes a
# diagonal, position encodings that are not passed on, a decoder's norm without
# a decoder; in the older checkpoint, layers that were later removed; and the
# backbone under its second name.
IGNORED = (
  r"mask_mat|query_embed\.weight|positional_embedding\..*"
  r"|transformer\.decoder\.norm\..*"
  r"|(bottleneck|classifier_global|bn_position|gcn\.static_\w+)\..*"
  r"|backbone\.[0-3]\..*"
)
ENCODER = r"transformer\.encoder\.layers\.(\d+)\."
RULES = (
  (
    ENCODER + r"self_attn\.(\w+)_proj",
    "dense",
    r"encoder_\1/self_attention/\2",
  ),
  (ENCODER + r"(linear\d)", "dense", r"encoder_\1/feed_forward/\2"),
  (ENCODER + "norm1", "norm", r"encoder_\1/norm1"),
  (ENCODER + "norm2", "norm", r"encoder_\1/feed_forward/norm"),
  ("transform_28", "dense", "project_middle"),
  ("transform_14", "dense", "project_final"),
  ("transform_7", "dense", "project_small"),
  ("trans_classifier|classifier", "dense", "transformer_classifier"),
  ("constraint_classifier|fc", "dense", "nodes/classifier"),
  ("gcn_dim_transform|conv_transform", "dense", "nodes/transform"),
  ("guidance_transform|conv_position", "dense", "guidance"),
  (r"guidance_conv|gcn\.conv_global", "dense", "graph/context"),
  (r"guidance_bn|gcn\.bn_global", "batch_norm", "graph/context_norm"),
  (r"matrix_transform|gcn\.conv_create_co_mat", "dense", "graph/adjacency"),
  (r"forward_gcn\.weight|gcn\.dynamic_weight", "dense", "graph/transform"),
  ("gcn_classifier|last_linear", "label_linear", "classifier"),
)
# Axes of length 1 of the published arrays.
AXES = {
  r"(transform_(14|28)|constraint_classifier|gcn_dim_transform)\.weight": (
    2,
    3,
  ),
  r"(guidance_(transform|conv)|matrix_transform)\.weight": (2,),
  r"(forward_gcn\.weight|gcn_classifier)\.weight": (2,),
}
STAGE = re.compile(r"layer[234]\.\d+\..*")
variable = key_rules.variable_of(RULES)
_begun = (
  key_rules.sequential_resnet("layer1."),
  key_rules.sequential_resnet("features."),
)


def backbone_key(key: str) -> str | None:
  """Returns torchvision's name of a key of the backbone, or None.

  `layer1` of this code is a Sequential of the stem and the first stage; the
  other stages have torchvision's names.
  """
  if STAGE.fullmatch(key):
    return key
  return _begun[0](key) or _begun[1](key)


def published_backbone_key(name: str) -> str:
  """Returns the published key of torchvision's name."""
  return name if STAGE.fullmatch(name) else _begun[0].published(name)


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  adjacency = ("matrix_transform.bias", "gcn.conv_create_co_mat.bias")
  return {
    "num_labels": next(len(state[key]) for key in adjacency if key in state),
    "embed_dim": len(state["transform_14.bias"]),
    "hidden": len(state["transformer.encoder.layers.0.linear1.bias"]),
    "num_layers": key_rules.count(state, ENCODER),
  }
