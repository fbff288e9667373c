"""ML-GCN: the graph, the classifiers made from it, and the pooling window."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Array, Cooccurrence, Output, Side
from causal_mlr_jax.methods import ml_gcn
from causal_mlr_jax.nn.heads.published_variant import PUBLISHED
from causal_mlr_jax.weights.parity import heads
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "ml_gcn"
LOSS: dict[str, object] = {}
# A counter that nothing reads.
UNCHECKED = r"train_state/.*\.num_batches_tracked"
WINDOW = r"MaxPool2d\(\d+, ?\d+\) -> MaxPool2d\((\d+), ?\d+\)"


def run(golden: Golden) -> Results:
  """Returns our results, including those for larger maps (`feature_18`)."""
  case = sys.modules[__name__]
  found = heads.run(golden, case)
  for name in golden.inputs:
    if match := re.fullmatch(r"feature(_\d+)", name):
      other = types.SimpleNamespace(**vars(case) | {"MAPS": {name: "final"}})
      logits = heads.run(golden, other)["output/logits"]
      found[f"output/logits{match[1]}"] = logits
  return found


def fields(golden: Golden) -> dict[str, Any]:
  """Returns the fields of `Head` that the arrays do not determine."""
  found: dict[str, Any] = {"variant": PUBLISHED}
  if "t" in golden.args:
    found["threshold"] = golden.args["t"]
  if match := re.search(WINDOW, golden.meta.get("dimension_literals", "")):
    found["window"] = int(match[1])
  return found


def side(golden: Golden) -> Side:
  """Returns the side inputs.

  Raises:
    UserError: Our graph differs from the one in the state.
  """
  ours, theirs = _adjacency(golden), golden.state["A"]
  if not np.allclose(ours, theirs, rtol=0, atol=1e-6):
    raise UserError(
      f"{golden.path}: the graph of input/adj_counts differs from state/A by "
      f"{np.abs(ours - theirs).max():.1e}."
    )
  return {
    "cooccurrence": _counted(golden),
    "label_embeddings": golden.inputs["word_embeddings"],
  }


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  aux = output.aux
  return {
    "logits": output.logits,
    "adjacency_A": _adjacency(golden),
    "adjacency_hat": aux["graph"],
    "gc1_out": aux["hidden"],
    "gc2_out": aux["classifiers"],
  }


def _counted(golden: Golden) -> Cooccurrence:
  counts, nums = golden.inputs["adj_counts"], golden.inputs["adj_nums"]
  return Cooccurrence(
    jnp.asarray(counts, jnp.float32), jnp.asarray(nums, jnp.float32)
  )


def _adjacency(golden: Golden) -> Array:
  """Returns the initial graph of our head."""
  threshold = fields(golden).get("threshold", ml_gcn.Head.threshold)
  return ml_gcn.adjacency(_counted(golden), threshold, ml_gcn.Head.reweight)
