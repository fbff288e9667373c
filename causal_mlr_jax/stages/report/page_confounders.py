"""Cards of the confounders for the page of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from causal_mlr_jax.confounders import build as confounders
from causal_mlr_jax.confounders.nearest_patches import Nearest, nearest
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.reports.page import thumbnails
from causal_mlr_jax.stages.experiment import Experiment
from causal_mlr_jax.stages.report.page_images import name_of
from causal_mlr_jax.weights import backbone_weights

# Bounds of the page's size and of the time: images of each confounder that are
# shown and looked at, and confounders.
PATCHES, CANDIDATES, CARDS, BATCH = 4, 12, 60, 24
# Enriched labels of a card, and the fewest training images that count.
LABELS, FEWEST, ENRICHED = 5, 5, 1.05


def cards(experiment: Experiment, dataset: Dataset) -> dict[str, Any] | None:
  """Returns the cards; None where the run has no confounders.

  Args:
    experiment: Settings of the run.
    dataset: The data set that was trained on.
  """
  config = experiment.config
  section = config.confounders
  built = confounders.load(experiment.workdir.confounders, section.prior)
  if built is None:
    return None
  centres_KC = np.asarray(built.confounders.centres_KC)
  prior_K = np.asarray(built.confounders.prior_K)
  shown = np.argsort(-prior_K, kind="stable")[:CARDS]
  looked_at = candidates(built.context_share, shown)
  images = [_pixels(experiment, dataset, int(i)) for i in looked_at]
  network = confounders.network_of(
    section,
    backbone_weights.frozen_variables(section.backbone, section.image_size),
  )
  found = nearest(network, _batches(images), centres_KC)
  labels = dataset.label_matrix(config.data.train_split)
  ratio_KN = enrichment(built.context_share, labels)
  return {
    "number": len(prior_K),
    "searched": len(looked_at),
    "cards": [
      {
        "index": int(k) + 1,
        "share": float(prior_K[k]),
        "patches": _patches(experiment, dataset, looked_at, images, found, k),
        "labels": [
          {"name": dataset.labels[n], "ratio": float(ratio_KN[k, n])}
          for n in np.argsort(-ratio_KN[k], kind="stable")[:LABELS]
          if ratio_KN[k, n] >= ENRICHED
        ],
      }
      for k in shown
    ],
  }


def candidates(share_MK: np.ndarray, shown: np.ndarray) -> np.ndarray:
  """Returns the images that a confounder covers most of, in order.

  Args:
    share_MK: Share of each confounder in each of M training images.
    shown: Confounders.
  """
  best = np.argsort(-share_MK[:, shown], axis=0, kind="stable")[:CANDIDATES]
  return np.unique(best)


def enrichment(share_MK: np.ndarray, labels_MN: np.ndarray) -> np.ndarray:
  """Returns how much more frequent labels are with a confounder, [K, N].

  It is Σ_m s_mk y_mn / Σ_m s_mk over mean_m y_mn: the frequency of a label in
  images weighted by the confounder's share, over its plain frequency.

  Args:
    share_MK: Share of each confounder in each of M training images.
    labels_MN: 1 where the image has the label.

  Returns:
    Ratios; 0 for a label with too few images.
  """
  has_MN = np.asarray(labels_MN == 1, np.float64)
  share_MK = share_MK.astype(np.float64)
  total_K1 = np.maximum(share_MK.sum(0), 1e-12)[:, None]
  mean_N = has_MN.mean(0)
  given_KN = np.asarray(np.matmul(share_MK.T, has_MN) / total_K1)
  ratio_KN = np.asarray(given_KN / np.maximum(mean_N, 1e-12)[None])
  return np.asarray(np.where(has_MN.sum(0)[None] < FEWEST, 0, ratio_KN))


def _pixels(experiment: Experiment, dataset: Dataset, index: int) -> np.ndarray:
  data = experiment.config.data
  found = pipeline.example(
    dataset, data.train_split, data.preprocess_evaluate, index
  )
  return np.asarray(found["image"])


def _batches(images: list[np.ndarray]) -> list[np.ndarray]:
  """Returns batches of one size; surplus places repeat the last image."""
  padded = images + [images[-1]] * (-len(images) % BATCH)
  return [
    np.stack(padded[start : start + BATCH])
    for start in range(0, len(padded), BATCH)
  ]


def _patches(
  experiment: Experiment,
  dataset: Dataset,
  looked_at: np.ndarray,
  images: list[np.ndarray],
  found: Nearest,
  k: int,
) -> list[dict[str, Any]]:
  rows, columns = found.grid
  order = np.argsort(found.distance_BK[: len(images), k], kind="stable")
  patches = []
  for place in order[:PATCHES]:
    row, column = divmod(int(found.place_BK[place, k]), columns)
    index = int(looked_at[place])
    patches.append(
      {
        "name": name_of(dataset, experiment.config.data.train_split, index),
        "image": thumbnails.encode(images[place]),
        "distance": float(found.distance_BK[place, k]),
        "left": 100 * column / columns,
        "top": 100 * row / rows,
        "width": 100 / columns,
        "height": 100 / rows,
      }
    )
  return patches
