"""Feature-split training: batches in order, with one running mean."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.weights.parity import heads, pooled
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "feature_split"
UNCHECKED = ""


def run(golden: Golden) -> Results:
  """Returns our results by the file's keys."""
  given, args = golden.inputs, golden.args
  chosen = given.get("s_indices")
  method, head = pooled.method_of(
    METHOD,
    golden,
    split="half" if chosen is None else "random",
    min_weight=args["alpha_min"],
    weighted=args["weighted"],
    variant="published",
  )
  first = pooled.features_of(given["feature"][0])
  variables = pooled.variables_of(METHOD, head, first, golden.state)
  if chosen is not None:
    channels_S = jnp.asarray(chosen, jnp.float32)
    variables |= {"constants": {"context_channels": channels_S}}
  pairs_R2 = jnp.asarray(given["biased_pairs"], jnp.int32)
  counted = cooccurrence(given["train_labels"])
  side = {"biased_pairs": pairs_R2, "cooccurrence": counted}
  rows = []
  for batch in zip(given["feature"], given["labels"], strict=True):
    loss, _, output, changed, grads, grad_map = pooled.run_batch(
      method, head, variables, batch, side
    )
    variables |= changed
    rows.append(
      {
        "output/loss": loss,
        "output/xs_mean": output.aux["context_mean"],
        "output/logits": output.logits,
        "output/logits_replaced": output.aux["logits_replaced"],
        "output/pooled_feature": output.aux["pooled"],
        "grad_loss/input": heads.nchw(grad_map),
      }
      | {
        f"grad_loss/state/{key}": value
        for key, value in pooled.by_torch_key(METHOD, golden, grads).items()
      }
    )
  found = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
  weight_N = method.label_weights(counted, pairs_R2, args["alpha_min"])
  return found | {"output/weight": weight_N}
