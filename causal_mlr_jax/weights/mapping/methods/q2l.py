"""Keys of Query2Label's checkpoints (SlongLiu/query2labels)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.weights.mapping import key_rules

LABEL_ORDER = "category_id"
# The table of sine position encodings is computed, not read.
IGNORED = r"backbone\.1\.pe"
ENCODER = r"transformer\.encoder\.layers\.(\d+)\."
DECODER = r"transformer\.decoder\.layers\.(\d+)\."
RULES = (
  (
    ENCODER + r"self_attn\.(\w+)_proj",
    "dense",
    r"decoder/encoder_\1/self_attention/\2",
  ),
  (ENCODER + r"(linear\d)", "dense", r"decoder/encoder_\1/feed_forward/\2"),
  (ENCODER + "norm1", "norm", r"decoder/encoder_\1/norm1"),
  (ENCODER + "norm2", "norm", r"decoder/encoder_\1/feed_forward/norm"),
  (
    DECODER + r"multihead_attn\.(\w+)_proj",
    "dense",
    r"decoder/decoder_\1/cross_attention/\2",
  ),
  (DECODER + r"(linear\d)", "dense", r"decoder/decoder_\1/feed_forward/\2"),
  (DECODER + "norm2", "norm", r"decoder/decoder_\1/norm1"),
  (DECODER + "norm3", "norm", r"decoder/decoder_\1/feed_forward/norm"),
  (r"transformer\.decoder\.norm", "norm", "decoder/norm"),
  ("query_embed", "embedding", "query"),
  ("input_proj", "dense", "decoder/project"),
)
# Axes of length 1 of the published arrays.
AXES = {r"fc\..": (0,), r"input_proj\.weight": (2, 3)}
variable = key_rules.variable_of(
  RULES,
  {"fc.W": "params/classifier/weight", "fc.b": "params/classifier/bias"},
)
backbone_key = key_rules.prefixed("backbone.0.body.")


def fields(state: Mapping[str, np.ndarray]) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays determine."""
  labels, width = state["query_embed.weight"].shape
  encoders = key_rules.count(state, ENCODER)
  hidden = state["transformer.decoder.layers.0.linear1.bias"].shape[0]
  return {
    "num_labels": labels,
    "embed_dim": width,
    "hidden": hidden,
    "num_encoder_layers": encoders,
    "num_decoder_layers": key_rules.count(state, DECODER),
    "input_projection": "input_proj.weight" in state,
  }
