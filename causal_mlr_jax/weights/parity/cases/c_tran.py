"""C-Tran: with and without known labels in the tokens."""

from __future__ import annotations

import re
import sys

import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.types import Output, Side
from causal_mlr_jax.nn.heads.published_variant import PUBLISHED
from causal_mlr_jax.weights.parity import heads
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "c_tran"
# The published loss is a sum over the batch.
LOSS = {"reduction": "sum"}
UNCHECKED = ""


def run(golden: Golden) -> Results:
  """Returns our results, and the loss with all labels treated as unknown."""
  case = sys.modules[__name__]
  found = heads.run(golden, case)
  if "loss/all_labels" in golden.arrays:
    criterion = heads.make_network(golden, case).criterion
    labels_BN = jnp.asarray(golden.inputs["labels"])
    loss_BN = criterion(found["output/logits"], labels_BN)
    found["loss/all_labels"] = loss_BN.mean()
  return found


def fields(golden: Golden) -> dict[str, object]:
  """Returns the fields of `Head` that the arrays do not determine."""
  named = re.search(r"(\d+) heads", golden.meta.get("dimension_literals", ""))
  return {
    "variant": PUBLISHED,
    "num_heads": golden.args.get("heads", int(named[1]) if named else 4),
    "use_state": golden.args.get("use_lmt", True),
  }


def side(golden: Golden) -> Side:
  """Returns the side inputs."""
  return {"label_state": golden.inputs["mask"].astype(np.int32)}


def outputs(output: Output, golden: Golden) -> Results:
  """Returns the file's outputs."""
  del golden
  aux = output.aux
  found: Results = {"logits": output.logits}
  for name in aux:
    kind, _, number = name.partition("_")
    if kind == "encoder":
      found[f"attn/layer{number}"] = aux[name]
  return found
