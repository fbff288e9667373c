"""Side inputs computed from the labels of a data set."""

from __future__ import annotations

import numpy as np

from causal_mlr_jax.core.types import Cooccurrence


def cooccurrence(labels_MN: np.ndarray) -> Cooccurrence:
  """Counts labels and pairs of labels over the images of a split.

  Args:
    labels_MN: Labels 0 or 1, one row per image.
  """
  labels = labels_MN.astype(np.float64)
  counts = labels.T @ labels
  nums = counts.diagonal().copy()
  np.fill_diagonal(counts, 0)
  return Cooccurrence(counts.astype(np.float32), nums.astype(np.float32))


def embeddings_from_cooccurrence(
  counted: Cooccurrence, num_images: int, dim: int
) -> np.ndarray:
  """Returns label embeddings [N, D] made only from the training labels.

  The embeddings are U·sqrt(S) of the singular value decomposition of the
  symmetric matrix of positive pointwise mutual information between labels (for
  words: Levy and Goldberg, Neural Word Embedding as Implicit Matrix
  Factorization, NeurIPS 2014), so labels with similar co-occurrences get
  similar embeddings. The diagonal of the matrix is -log P(label); a label
  without images counts as having one. Columns beyond N are 0.

  Args:
    counted: Counts over the training split.
    num_images: Number of images of that split, at least 1.
    dim: D.
  """
  joint = np.asarray(counted.counts_NN, np.float64) / num_images
  single = np.maximum(np.asarray(counted.nums_N, np.float64), 1) / num_images
  np.fill_diagonal(joint, single)
  with np.errstate(divide="ignore"):
    information = np.log(joint) - np.log(np.outer(single, single))
  u, s, _ = np.linalg.svd(np.maximum(information, 0))
  kept = min(dim, len(s))
  # The sign of a column is arbitrary: make its largest entry positive. If
  # several are equally large up to rounding, take the first of them.
  u = u[:, :kept]
  large = np.abs(u) > (1 - 1e-6) * np.abs(u).max(0)[None]
  u *= np.sign(u[large.argmax(0), np.arange(kept)])[None]
  embeddings = np.zeros((len(s), dim), np.float32)
  embeddings[:, :kept] = u * np.sqrt(s[:kept])[None]
  return embeddings
