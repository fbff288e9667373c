"""Keys of feature-split checkpoints (princetonvisualai/ContextualBias).

They hold the plain classifier; the choice of context channels and their running
mean are not in any checkpoint.
"""

from __future__ import annotations

from causal_mlr_jax.weights.mapping.methods import baseline

LABEL_ORDER, IGNORED = baseline.LABEL_ORDER, baseline.IGNORED
OWN = (r"(constants|running)/.*",)
variable, backbone_key = baseline.variable, baseline.backbone_key
fields = baseline.fields
published_backbone_key = baseline.published_backbone_key
PREFIX = "resnet."
