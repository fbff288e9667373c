"""The kinds of confounders of the paper's Table 6.

Each kind turns features of positions into centres and a share for each:

  kmeans  K-means over the positions of a deep map; share of positions in each
          cluster
  early   the same over a map of an early layer
  label   one prototype per label, the mean feature of the images that have it;
          the label's share of all positive labels
  random  vectors from a Gaussian with the features' mean and deviation per
          channel; equal shares, since no images belong to them
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.confounders.features import Positions
from causal_mlr_jax.confounders.kmeans import assign, kmeans
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import UserError

KINDS = ("kmeans", "random", "early", "label")
PRIORS = ("share", "uniform")


class Fitted(NamedTuple):
  """Confounders before they are written.

  Attributes:
    centres: Centres, float32 [K, C].
    share: Share of each confounder, float32 [K]; sums to 1.
    notes: How they were made, JSON-serialisable.
  """

  centres: np.ndarray
  share: np.ndarray
  notes: dict[str, object]


def fit(
  kind: str,
  positions: Positions,
  num: int,
  *,
  max_iterations: int,
  tolerance: float,
  seed: int,
  mesh: Mesh,
) -> Fitted:
  """Fits confounders of one kind to features.

  Args:
    kind: One of `KINDS`; 'early' differs from 'kmeans' only in the map that
      `positions` come from.
    positions: Positions from `features.extract`.
    num: Number of confounders K; for 'label', the number of labels.
    max_iterations: Maximum number of iterations of Lloyd's algorithm.
    tolerance: Relative decrease of the inertia below which the algorithm stops.
    seed: Seed of the initial centres or of the random vectors.
    mesh: The device mesh, from `parallel.make_mesh`.

  Raises:
    UserError: A label has no images for 'label', or there are more clusters
      than distinct positions.
  """
  if kind in ("kmeans", "early"):
    return _kmeans(positions, num, max_iterations, tolerance, seed, mesh)
  if kind == "label":
    return _label(positions)
  return _random(positions, num, seed)


def context_share(positions: Positions, centres: np.ndarray) -> np.ndarray:
  """Returns the share of each example's positions at each centre, [E, K].

  `positions` must hold all positions of the maps; `features.shares` computes
  the same without holding them.

  Args:
    positions: Positions of this process's block of the examples; the result is
      for the same block.
    centres: Centres [K, C].
  """
  examples, per_example, channels = positions.features.shape
  rows = positions.features.reshape(-1, channels)
  # A process's rows stay on its own devices.
  mesh = parallel.make_mesh(jax.local_devices())
  nearest = assign(rows, centres, mesh).reshape(examples, per_example)
  share = np.zeros((examples, len(centres)), np.float32)
  np.add.at(share, (np.arange(examples)[:, None], nearest), 1 / per_example)
  return share


def _kmeans(
  positions: Positions,
  num: int,
  max_iterations: int,
  tolerance: float,
  seed: int,
  mesh: Mesh,
) -> Fitted:
  rows = positions.features.reshape(-1, positions.features.shape[-1])
  with progress.bar("k-means", max_iterations, "iterations") as bar:
    result = kmeans(
      rows,
      mesh,
      num,
      jax.random.key(seed),
      # Blocks are in order, so that every row has the same global number as in
      # a single process, and the same rows are drawn.
      weights=np.repeat(positions.mask, positions.features.shape[1]),
      max_iterations=max_iterations,
      tolerance=tolerance,
      on_iteration=lambda i, inertia: bar.advance(i > 0, inertia=inertia),
    )
  counts = np.asarray(result.counts_K)
  return Fitted(
    np.asarray(result.centres_KC),
    (counts / counts.sum()).astype(np.float32),
    {
      "positions": _number(positions),
      "prior_of": "the positions clustered",
      "inertia": float(result.inertia),
      "iterations": int(result.iterations),
      "smallest_cluster": int(counts.min()),
      "largest_cluster": int(counts.max()),
    },
  )


def _label(positions: Positions) -> Fitted:
  counts = _summed(positions.labels.sum(0))
  if counts.min() == 0:
    missing = np.flatnonzero(counts == 0).tolist()
    raise UserError(
      "confounders.kind='label' needs an image of every label; no image has "
      f"label(s) number {missing}. Use another kind, such as 'kmeans'."
    )
  pooled = positions.features.mean(1)
  centres = _summed(positions.labels.T @ pooled) / counts[:, None]
  share = (counts / counts.sum()).astype(np.float32)
  examples = int(_summed(positions.mask.sum()))
  return Fitted(centres, share, {"examples": examples})


def _random(positions: Positions, num: int, seed: int) -> Fitted:
  mean, deviation = _moments(positions)
  rng = np.random.default_rng(seed)
  noise = rng.normal(size=(num, len(mean)))
  centres = (mean + noise * deviation).astype(np.float32)
  share = np.full(num, 1 / num, np.float32)
  return Fitted(centres, share, {"positions": _number(positions)})


def _moments(positions: Positions) -> tuple[np.ndarray, np.ndarray]:
  """Returns mean [C] and deviation [C] of the positions of all processes."""
  own = int(positions.mask.sum())
  # A process without examples has only rows of zeros, with weight 0.
  rows = positions.features[: max(own, 1)]
  rows = rows.reshape(-1, rows.shape[-1])
  each = np.stack([rows.mean(0), rows.std(0)])[None]
  means, deviations = np.moveaxis(
    parallel.to_host(each).astype(np.float64), 1, 0
  )
  weights = parallel.to_host(np.asarray([own]))
  mean = np.average(means, 0, weights)
  variance = np.average(deviations**2 + (means - mean[None]) ** 2, 0, weights)
  return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _number(positions: Positions) -> int:
  """Returns the number of positions of all processes."""
  return int(_summed(positions.mask.sum())) * positions.features.shape[1]


def _summed(own: np.ndarray) -> np.ndarray:
  """Returns the sum of an array over all processes."""
  return parallel.to_host(np.asarray(own)[None]).sum(0)
