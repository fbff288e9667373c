"""The protocol of exclusive and co-occurring images; finding of pairs."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.evaluation import biased_pairs, thresholded_metrics
from causal_mlr_jax.evaluation import exclusive_cooccur as protocol
from causal_mlr_jax.evaluation.average_precision import (
  average_precision,
  mean_average_precision,
)
from causal_mlr_jax.weights.parity.golden import Golden, Results

UNCHECKED = ""


def run(golden: Golden) -> Results:
  """Returns the metrics by the file's keys."""
  found: Results = {"bias_pairs": contexts(golden)}
  for ending in ("", "_tied"):
    results = metrics(golden, golden.inputs[f"scores{ending}"])
    found |= {f"{name}{ending}": value for name, value in results.items()}
  return {f"output/{name}": value for name, value in found.items()}


def metrics(golden: Golden, scores: np.ndarray) -> Results:
  """Returns AP and recall@3 of all images and of the pairs' groups."""
  labels, pairs = golden.inputs["labels"], golden.inputs["biased_pairs"]
  ap = protocol.pair_average_precision(scores, labels, pairs)
  recall = protocol.pair_topk_recall(scores, labels, pairs)
  ap_N = average_precision(scores, labels)
  recall_N = thresholded_metrics.topk_recall(scores, labels)
  unbiased_N = ap_N[golden.inputs["unbiased_classes"]]
  return {
    "ap_all": ap_N,
    "ap_mean": mean_average_precision(ap_N)[0],
    "ap_mean_unbiased": mean_average_precision(unbiased_N)[0],
    "ap_exclusive": ap.exclusive,
    "ap_cooccur": ap.cooccur,
    "recall3_all": recall_N,
    "recall3_mean": recall_N.mean(),
    "recall3_exclusive": recall.exclusive,
    "recall3_cooccur": recall.cooccur,
  }


def contexts(golden: Golden) -> np.ndarray:
  """Returns one row (label, its context, bias) per label."""
  labels = golden.inputs["labels"]
  held_out = np.zeros(len(labels), bool)
  held_out[golden.inputs["split_20"]] = True
  found = biased_pairs.contexts(
    golden.inputs["scores"][held_out],
    labels[held_out],
    labels[~held_out],
    threshold=golden.meta["bias_args"]["cooccur"],
  )
  number_N = np.arange(labels.shape[1])
  return np.stack([number_N, found.context_N, found.bias_N], axis=1)
