"""Computes all metrics of an evaluation as one JSON-serialisable dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.evaluation import (
  bootstrap,
  calibration,
  exclusive_cooccur,
  thresholded_metrics,
)
from causal_mlr_jax.evaluation.average_precision import (
  average_precision,
  check_scores,
)
from causal_mlr_jax.evaluation.exclusive_cooccur import PairResult, Pairs

TOP = 3
# The metrics that a table can show; see `headline`.
HEADLINES = ("map", "top3_recall")
THRESHOLD = 0.5


def compute(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  label_names: Sequence[str],
  biased_pairs: Pairs = (),
  resamples: int = 0,
  valid_BN: np.ndarray | None = None,
) -> dict[str, Any]:
  """Returns all metrics of a test set: percentages (0 to 100), None for NaN.

  Args:
    scores_BN: Probabilities in [0, 1]; each image once, without padding.
    labels_BN: 1 where the image has the label, else 0.
    label_names: N different names.
    biased_pairs: (b, c) label indices; may be empty.
    resamples: Number of bootstrap resamples; 0 leaves out `standard_error`.
    valid_BN: False marks entries that no metric counts, such as known labels.

  Returns:
    `all_map`, `all_map_interpolated`, `exclusive_map`, `cooccur_map`;
    `top3_recall` with `all`, `exclusive`, `cooccur`; `op`, `or`, `of1`,
    `cp`, `cr`, `cf1` at probability 0.5, and the same with `_top3`; the
    expected `calibration_error`; `standard_error` over images of the mean
    APs `all`, `exclusive`, `cooccur`; `per_label` and `per_pair` by name;
    `skipped_labels`, `skipped_pairs`, `warnings`; the number of `images`.

  Raises:
    UserError: Shapes or names do not match, a score is NaN or outside [0, 1],
      a label is neither 0 nor 1, or a pair is not two different labels.
  """
  names = _check_names(label_names, np.shape(scores_BN))
  scores_BN, labels_BN, valid_BN = check_scores(
    scores_BN, labels_BN, valid_BN, names
  )
  _check_probabilities(scores_BN)
  # An entry that is left out must not be predicted, so it ranks lowest.
  scores_BN = np.where(valid_BN, scores_BN, 0)
  pairs = exclusive_cooccur.check_pairs(biased_pairs, len(names))
  pair_names = [f"{names[b]} <- {names[c]}" for b, c in pairs]
  per_label = _per_label(scores_BN, labels_BN, valid_BN, names)
  skipped = [name for name, row in per_label.items() if row["ap"] is None]
  ap, recall = _pairs(scores_BN, labels_BN, valid_BN, pairs)
  return {
    "images": len(scores_BN),
    **_means(per_label, ap, recall),
    **_decisions(scores_BN, labels_BN),
    **_calibration(scores_BN, labels_BN, valid_BN),
    **_standard_error(scores_BN, labels_BN, valid_BN, pairs, resamples),
    "per_label": per_label,
    "per_pair": _per_pair(pairs, names, pair_names, ap, recall),
    **_left_out(skipped, ap, pair_names),
  }


def _calibration(
  scores_BN: np.ndarray, labels_BN: np.ndarray, valid_BN: np.ndarray
) -> dict[str, float | None]:
  found = calibration.expected_calibration_error(scores_BN, labels_BN, valid_BN)
  return {"calibration_error": _percent(found)}


def _pairs(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray,
  pairs: Pairs,
) -> tuple[PairResult, PairResult]:
  """Returns the average precision and the top-k recall of the pairs."""
  return (
    exclusive_cooccur.pair_average_precision(
      scores_BN, labels_BN, pairs, valid_BN=valid_BN
    ),
    exclusive_cooccur.pair_topk_recall(
      scores_BN, labels_BN, pairs, TOP, valid_BN
    ),
  )


def _standard_error(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray,
  pairs: Pairs,
  resamples: int,
) -> dict[str, dict[str, float | None]]:
  if resamples == 0:
    return {}
  # A fixed seed, so that the same scores always give the same report.
  errors = bootstrap.standard_errors(
    scores_BN,
    labels_BN,
    pairs,
    np.random.default_rng(0),
    resamples=resamples,
    valid_BN=valid_BN,
  )
  return {"standard_error": {k: _percent(v) for k, v in errors.items()}}


def headline(metrics: Mapping[str, Any], metric: str) -> dict[str, Any]:
  """Returns the values `exclusive`, `cooccur` and `all` of one metric.

  Args:
    metrics: Result of `compute`.
    metric: One of `HEADLINES`.

  Raises:
    UserError: `metric` is not one of them.
  """
  if metric == "map":
    return {k: metrics[f"{k}_map"] for k in ("exclusive", "cooccur", "all")}
  if metric == "top3_recall":
    return dict(metrics["top3_recall"])
  raise unknown_name("evaluate.metric", metric, HEADLINES)


def _check_names(
  label_names: Sequence[str], shape: tuple[int, ...]
) -> list[str]:
  names = [str(name) for name in label_names]
  if len(shape) != 2 or len(names) != shape[1] or len(set(names)) < len(names):
    raise UserError(
      f"{len(names)} label names, {len(set(names))} of them different, for "
      f"scores of shape {shape}: expected a different name for each column."
    )
  return names


def _check_probabilities(scores_BN: np.ndarray) -> None:
  if scores_BN.size == 0:
    raise UserError(
      f"Nothing to evaluate: scores have shape {scores_BN.shape}. Check the "
      "test split and its list of images."
    )
  low, high = scores_BN.min(), scores_BN.max()
  if low < 0 or high > 1:
    raise UserError(
      f"Scores range from {low:.3g} to {high:.3g}: expected probabilities in "
      "[0, 1]. Pass the method's scores, not its logits."
    )


def _percent(fraction: float) -> float | None:
  return None if np.isnan(fraction) else 100 * float(fraction)


def _means(
  per_label: dict[str, dict[str, Any]], ap: PairResult, recall: PairResult
) -> dict[str, Any]:
  return {
    "all_map": _mean(per_label, "ap"),
    "all_map_interpolated": _mean(per_label, "ap_interpolated"),
    "exclusive_map": _percent(ap.exclusive_mean),
    "cooccur_map": _percent(ap.cooccur_mean),
    "top3_recall": {
      "all": _mean(per_label, "top3_recall"),
      "exclusive": _percent(recall.exclusive_mean),
      "cooccur": _percent(recall.cooccur_mean),
    },
  }


def _mean(per_label: dict[str, dict[str, Any]], key: str) -> float | None:
  values = [row[key] for row in per_label.values() if row[key] is not None]
  return float(np.mean(values)) if values else None


def _per_label(
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  valid_BN: np.ndarray,
  names: list[str],
) -> dict[str, dict[str, Any]]:
  ap_N = average_precision(scores_BN, labels_BN, valid_BN=valid_BN)
  smooth_N = average_precision(
    scores_BN, labels_BN, interpolated=True, valid_BN=valid_BN
  )
  recall_N = thresholded_metrics.topk_recall(scores_BN, labels_BN, TOP)
  return {
    name: {
      "ap": _percent(ap_N[n]),
      "ap_interpolated": _percent(smooth_N[n]),
      "top3_recall": _percent(recall_N[n]),
      "positives": int(labels_BN[:, n].sum()),
    }
    for n, name in enumerate(names)
  }


def _decisions(
  scores_BN: np.ndarray, labels_BN: np.ndarray
) -> dict[str, float | None]:
  short = ("op", "or", "of1", "cp", "cr", "cf1")
  result = {}
  for ending, k in (("", None), (f"_top{TOP}", TOP)):
    values = thresholded_metrics.decisions(
      scores_BN, labels_BN, threshold=THRESHOLD, k=k
    )
    for key, value in zip(short, values, strict=True):
      result[key + ending] = _percent(value)
  return result


def _per_pair(
  pairs: np.ndarray,
  names: list[str],
  pair_names: list[str],
  ap: PairResult,
  recall: PairResult,
) -> dict[str, dict[str, Any]]:
  return {
    pair_names[i]: {
      "label": names[b],
      "context": names[c],
      "exclusive_ap": _percent(ap.exclusive[i]),
      "cooccur_ap": _percent(ap.cooccur[i]),
      "exclusive_top3_recall": _percent(recall.exclusive[i]),
      "cooccur_top3_recall": _percent(recall.cooccur[i]),
      "exclusive_positives": int(ap.exclusive_positives[i]),
      "cooccur_positives": int(ap.cooccur_positives[i]),
      "negatives": int(ap.negatives[i]),
    }
    for i, (b, c) in enumerate(pairs)
  }


def _left_out(
  skipped_labels: list[str], ap: PairResult, pair_names: list[str]
) -> dict[str, Any]:
  return {
    "skipped_labels": skipped_labels,
    "skipped_pairs": {
      "exclusive": [pair_names[i] for i in ap.skipped_exclusive],
      "cooccur": [pair_names[i] for i in ap.skipped_cooccur],
    },
    "warnings": _warnings(skipped_labels, ap, pair_names),
  }


def _warnings(
  skipped_labels: list[str], ap: PairResult, pair_names: list[str]
) -> list[str]:
  said = []
  if skipped_labels:
    said.append(
      f"{len(skipped_labels)} label(s) have no image in this set: they are "
      "left out of the mean APs and of CR, and count as 0 in CP and in top-3 "
      f"recall: {', '.join(skipped_labels)}."
    )
  return said + exclusive_cooccur.few_positives(ap, pair_names)
