"""ADD-GCN: semantic attention, static graph and dynamic graph."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "add_gcn"
LOSS: dict[str, object] = {}
# A counter that nothing reads.
UNCHECKED = r"train_state/.*\.num_batches_tracked"


def fields(golden: Golden) -> dict[str, object]:
  """Returns no fields: the arrays determine all of them."""
  del golden
  return {}


def side(golden: Golden) -> Side:
  """Returns the side inputs: none."""
  del golden
  return {}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  aux = output.aux

  def transposed(name: str) -> np.ndarray:
    return np.asarray(aux[name]).swapaxes(1, 2)

  return {
    "logits": output.logits,
    "logits_sm": aux["logits_semantic"],
    "logits_sr": aux["logits_graph"],
    "dynamic_adj": transposed("adjacency"),
    "sam_v": transposed("nodes"),
    # the file has the graphs' output before the nodes are added to it
    "gcn_z": transposed("label_features") - transposed("nodes"),
  }
