"""Query2Label: encoder, decoder and classifier."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "q2l"
LOSS = {"name": "asymmetric", "scale": 1000.0, "eps": 1e-5}
UNCHECKED = ""
# The backbone's batch normalisation and first layers are not trained.
FROZEN_BATCH_NORM = True
FROZEN = r"backbone\.0\.body\.(conv1|bn1|layer1)\..*"


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  return {"num_heads": golden.args.get("nheads", 4)}


def side(golden: Golden) -> Side:
  """Returns the side inputs: none."""
  del golden
  return {}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  aux = output.aux
  memory_BPD = np.asarray(aux["memory"])
  found = {
    "logits": output.logits,
    "decoder_out": aux["label_features"],
  }
  if "memory" in golden.group("output"):
    shape = golden.arrays["output/memory"].shape
    found["memory"] = memory_BPD.transpose(0, 2, 1).reshape(shape)
  for name in aux:
    kind, _, number = name.partition("_")
    attention = {"encoder": "self_attn", "decoder": "multihead_attn"}.get(kind)
    if attention:
      layer = f"transformer.{kind}.layers.{number}.{attention}"
      found[f"attn/{layer}"] = aux[name]
  return found
