"""The kinds of confounders of the paper's Table 6.

Each kind turns features of positions into centres and a share:

  kmeans  K-means over the positions of a deep map; share of each cluster
  early   the same over a map of an early layer
  label   one prototype a label, the mean feature of the images that have it;
          the label's share of all positives
  random  vectors of a Gaussian with the features' mean and deviation by
          channel; equal shares, since no image stands behind them
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.confounders.features import Positions
from causal_mlr_jax.confounders.kmeans import assign, kmeans
from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parallel import make_mesh

KINDS = ("kmeans", "random", "early", "label")
PRIORS = ("share", "uniform")


class Fitted(NamedTuple):
  """Confounders before they are written.

  Attributes:
    centres: float32 [K, C].
    share: float32 [K], sums to 1.
    notes: how they came about, JSON-able.
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
  """Fits confounders of a kind to features.

  Args:
    kind: one of `KINDS`; 'early' differs from 'kmeans' in the map that
      `positions` come from.
    positions: from `features.extract`.
    num: K; 'label' takes the number of labels.
    max_iterations: of Lloyd's algorithm.
    tolerance: relative drop of inertia that ends it.
    seed: of the initial centres or of the random vectors.
    mesh: from `parallel.make_mesh`.

  Raises:
    UserError: a label without images for 'label', or more clusters than
      distinct positions.
  """
  if kind in ("kmeans", "early"):
    return _kmeans(positions, num, max_iterations, tolerance, seed, mesh)
  if kind == "label":
    return _label(positions)
  return _random(positions, num, seed)


def context_share(positions: Positions, centres: np.ndarray) -> np.ndarray:
  """Returns each example's share of positions by centre, [examples, K]."""
  examples, per_example, channels = positions.features.shape
  rows = positions.features.reshape(-1, channels)
  # Every process holds all rows, so each works on its own devices.
  mesh = make_mesh(jax.local_devices())
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
    part, weights = _part_of_process(rows)
    result = kmeans(
      part,
      mesh,
      num,
      jax.random.key(seed),
      weights=weights,
      max_iterations=max_iterations,
      tolerance=tolerance,
      on_iteration=lambda i, inertia: bar.advance(i > 0, inertia=inertia),
    )
  counts = np.asarray(result.counts_K)
  return Fitted(
    np.asarray(result.centres_KC),
    (counts / counts.sum()).astype(np.float32),
    {
      "positions": len(rows),
      "inertia": float(result.inertia),
      "iterations": int(result.iterations),
      "smallest_cluster": int(counts.min()),
      "largest_cluster": int(counts.max()),
    },
  )


def _part_of_process(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns this process's share of rows, padded to the same number on all."""
  processes, process = jax.process_count(), jax.process_index()
  if processes == 1:
    return rows, np.ones(len(rows), np.float32)
  part = -(-len(rows) // processes)
  # In order, so that a row has the same place among all as in one process.
  index = np.arange(process * part, (process + 1) * part)
  weights = (index < len(rows)).astype(np.float32)
  return rows[np.minimum(index, len(rows) - 1)], weights


def _label(positions: Positions) -> Fitted:
  counts = positions.labels.sum(0)
  if counts.min() == 0:
    missing = np.flatnonzero(counts == 0).tolist()
    raise UserError(
      "confounders.kind='label' needs an image of every label; none has the "
      f"label(s) number {missing}. Use another kind, such as 'kmeans'."
    )
  pooled = positions.features.mean(1)
  centres = positions.labels.T @ pooled / counts[:, None]
  share = (counts / counts.sum()).astype(np.float32)
  return Fitted(centres, share, {"examples": len(pooled)})


def _random(positions: Positions, num: int, seed: int) -> Fitted:
  channels = positions.features.shape[-1]
  rows = positions.features.reshape(-1, channels)
  rng = np.random.default_rng(seed)
  noise = rng.normal(size=(num, channels))
  centres = (rows.mean(0) + noise * rows.std(0)).astype(np.float32)
  share = np.full(num, 1 / num, np.float32)
  return Fitted(centres, share, {"positions": len(rows)})
