"""Keys of feature-split checkpoints (princetonvisualai/ContextualBias).

What is trained is the plain classifier; which channels are the context's,
and their running mean, are in no checkpoint.
"""

from __future__ import annotations

from causal_mlr_jax.weights.mapping.methods import baseline

LABEL_ORDER, IGNORED = baseline.LABEL_ORDER, baseline.IGNORED
OWN = (r"(constants|running)/.*",)
variable, backbone_key = baseline.variable, baseline.backbone_key
fields = baseline.fields
