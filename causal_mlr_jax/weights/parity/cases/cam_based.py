"""CAM-based training: one batch, and the frozen network's maps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.weights.parity import heads, pooled
from causal_mlr_jax.weights.parity.golden import Golden, Results

METHOD = "cam_based"
UNCHECKED = ""


def run(golden: Golden) -> Results:
  """Returns our results by the file's keys."""
  given, args = golden.inputs, golden.args
  method, head = pooled.method_of(
    METHOD,
    golden,
    overlap_weight=args["lambda1"],
    reference_weight=args["lambda2"],
  )
  maps, frozen_maps = (
    pooled.features_of(given[key]) for key in ("feature", "pretrained_feature")
  )
  variables, frozen = (
    pooled.variables_of(METHOD, head, maps, golden.group(group))
    for group in ("state", "pretrained_state")
  )
  pairs_R2 = jnp.asarray(given["biased_pairs"], jnp.int32)
  reference = head.apply(frozen, frozen_maps, {}, train=False)
  side = {"biased_pairs": pairs_R2, "reference": reference}
  batch = (given["feature"], given["labels"])
  loss, parts, output, _, grads, grad_map = pooled.run_batch(
    method, head, variables, batch, side
  )
  labels_BN = jnp.asarray(given["labels"], jnp.float32)
  overlap, distance = method.terms(output, {"labels": labels_BN}, side)
  together_BR = np.asarray(method.cooccurring(labels_BN, pairs_R2))
  images, pairs = np.nonzero(together_BR)
  height, width = given["feature"].shape[2:]

  def entries(cam_BNP: np.ndarray) -> np.ndarray:
    maps_2BRP = np.stack(method.pair_maps(cam_BNP, pairs_R2))
    found = maps_2BRP[:, images, pairs].swapaxes(0, 1)
    return found.reshape(len(images), 2, height, width)

  return {
    "output/loss": loss,
    "output/weighted_l_o": parts["overlap"],
    "output/weighted_l_r": parts["reference"],
    "output/l_o": overlap,
    "output/l_r": distance,
    "output/l_bce": parts["logits"],
    "output/logits": output.logits,
    "output/cooccur_entries": np.column_stack([images, pairs_R2[pairs]]),
    "output/cams": entries(output.aux["attention"]),
    "output/pretrained_cams": entries(reference.aux["attention"]),
    "grad_loss/input": heads.nchw(grad_map),
  } | {
    f"grad_loss/state/{key}": value
    for key, value in pooled.by_torch_key(METHOD, golden, grads).items()
  }
