"""Keys of CAM-based checkpoints (princetonvisualai/ContextualBias).

The method is only a loss, so they hold the plain classifier.
"""

from __future__ import annotations

from causal_mlr_jax.weights.mapping.methods import baseline

LABEL_ORDER, IGNORED = baseline.LABEL_ORDER, baseline.IGNORED
variable, backbone_key = baseline.variable, baseline.backbone_key
fields = baseline.fields
published_backbone_key = baseline.published_backbone_key
PREFIX = "resnet."
