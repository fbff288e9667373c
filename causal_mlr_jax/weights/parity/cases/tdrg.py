"""TDRG: cross-scale maps, encoder over the batch, guided graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from causal_mlr_jax.core.types import Array, Output, Side, Tree
from causal_mlr_jax.weights.parity.golden import Golden, Results
from causal_mlr_jax.weights.parity.heads import Network

METHOD = "tdrg"
LOSS: dict[str, object] = {}
MAPS = {"layer3": "stage3", "layer4": "final"}
# A counter that nothing reads, and the backbone's statistics under its second
# name.
UNCHECKED = r"train_state/(.*\.num_batches_tracked|backbone\..*)"
LOGITS = {
  "logits_trans": "logits_transformer",
  "logits_gcn": "logits_graph",
  "logits_sac": "logits_semantic",
}


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  del golden
  return {"variant": "published"}


def side(golden: Golden) -> Side:
  """Returns the side inputs: none."""
  del golden
  return {}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  aux = output.aux
  f3_BPD, f4_BPD, f5_BPD = aux["encoded"]

  def transposed(x: Array) -> np.ndarray:
    return np.asarray(x).swapaxes(1, 2)

  return {
    "logits": output.logits,
    **{theirs: aux[ours] for theirs, ours in LOGITS.items()},
    "joint_matrix": transposed(aux["adjacency"]),
    "nodes": transposed(aux["nodes"]),
    "f3_mean": f3_BPD.mean(axis=1),
    "f4": transposed(f4_BPD),
    "f5": transposed(f5_BPD),
  }


def more(
  network: Network, variables: Tree, inputs: Mapping[str, Array]
) -> dict[str, np.ndarray]:
  """Returns the logits of each image when it is alone in a batch."""
  batch = len(next(iter(inputs.values())))
  singles = [
    network.apply(
      variables, {k: x[i : i + 1] for k, x in inputs.items()}, False
    )
    for i in range(batch)
  ]
  return {
    f"output/single/{theirs}": np.concatenate(
      [output.aux[ours] for output, _ in singles]
    )
    for theirs, ours in LOGITS.items()
  }
