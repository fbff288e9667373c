"""Small ResNets with their classifier, in evaluation and training."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.weights.parity.golden import Golden, Results
from causal_mlr_jax.weights.parity.heads import nchw

METHOD = "baseline"
LOSS: dict[str, object] = {}
# A counter that nothing reads.
UNCHECKED = r"train_state/.*\.num_batches_tracked"


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  del golden
  return {"pooling": "gap"}


def side(golden: Golden) -> Side:
  """Returns the side inputs: none."""
  del golden
  return {}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs: the map of every stage and its average."""
  del golden
  found: Results = {"logits": output.logits}
  for name, map_BHWC in output.aux["maps"].items():
    layer = name.replace("stage", "layer")
    found[layer] = nchw(map_BHWC)
    found[f"{layer}_mean"] = np.asarray(map_BHWC).mean((1, 2))
  return found
