"""Average precision and thresholded metrics, with and without tied scores."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.evaluation import thresholded_metrics
from causal_mlr_jax.evaluation.average_precision import (
  average_precision,
  mean_average_precision,
)
from causal_mlr_jax.weights.parity.golden import Golden, Results

# The order in which the original's unstable sort put the images. Our metrics do
# not order tied scores; results that need an order replay the file's.
UNCHECKED = r"output/.*_order"
# The file holds interpolated results as percentages.
KINDS = {"plain": (False, 1), "interp": (True, 100)}
DIFFICULT, UNKNOWN = 0, -1


def run(golden: Golden) -> Results:
  """Returns the metrics by the file's keys."""
  given = golden.inputs
  scores, labels = given["scores"], given["labels"]
  found: Results = {}
  for kind, (interpolated, factor) in KINDS.items():
    ap_N = average_precision(scores, labels, interpolated=interpolated)
    found[f"{kind}_ap"] = factor * ap_N
    found[f"{kind}_mAP"] = factor * mean_average_precision(ap_N)[0]
    tied = replayed(golden, kind)
    found |= {f"{kind}_ap_{name}": factor * ap for name, ap in tied.items()}
    mean = mean_average_precision(tied["tied"])[0]
    found[f"{kind}_mAP_tied"] = factor * mean
  for ending in ("", "_tied"):
    found |= grouped(golden, ending)
  difficult = given["labels_difficult"]
  found["plain_ap_difficult"] = average_precision(
    scores, difficult == 1, valid_BN=difficult != DIFFICULT
  )
  found["plain_ap_difficult_as_negative"] = average_precision(
    scores, difficult == 1
  )
  for name, k in (("overall", None), ("overall_top3", 3)):
    result = thresholded_metrics.decisions(scores, labels, threshold=0, k=k)
    found[name] = np.asarray(result)
  return {f"output/{name}": value for name, value in found.items()}


def grouped(golden: Golden, ending: str) -> Results:
  """Returns the AP that treats tied scores as one threshold (scikit-learn)."""
  given = golden.inputs
  scores, labels = given[f"scores{ending}"], given["labels"]
  ap_N = average_precision(scores, labels)
  unknown_N = average_precision(
    scores, labels, valid_BN=given["known_mask"] == UNKNOWN
  )
  return {
    f"sklearn_ap{ending}": ap_N,
    f"sklearn_mAP{ending}": mean_average_precision(ap_N)[0],
    f"sklearn_mAP_unknown_only{ending}": mean_average_precision(unknown_N)[0],
  }


def replayed(golden: Golden, kind: str) -> dict[str, np.ndarray]:
  """Returns AP as fractions [N] for each order of tied scores.

  'tied' is the order that the original's sort produced; 'tied_best' and
  'tied_worst' put positives first and last.
  """
  scores, labels = golden.inputs["scores_tied"], golden.inputs["labels"]
  orders = {
    "tied": golden.arrays[f"output/{kind}_tied_order"].T,
    "tied_best": np.lexsort((-labels, -scores), axis=0),
    "tied_worst": np.lexsort((labels, -scores), axis=0),
  }
  found = {}
  for name, order_BN in orders.items():
    ranks_BN = np.empty(scores.shape)
    down_BN = np.broadcast_to(-np.arange(len(scores))[:, None], scores.shape)
    np.put_along_axis(ranks_BN, order_BN, down_BN, axis=0)
    found[name] = average_precision(
      ranks_BN, labels, interpolated=KINDS[kind][0]
    )
  return found
