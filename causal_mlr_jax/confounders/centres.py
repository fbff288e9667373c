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
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import UserError

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
  """Returns each example's share of the positions by centre, [E, K].

  For positions that are all there are; `features.shares` needs none at hand.

  Args:
    positions: of this process's block of the examples, as the result is.
    centres: [K, C].
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
      # Blocks are in order, so that a row has the same number among all as in
      # one process, and the same ones are drawn.
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
      "confounders.kind='label' needs an image of every label; none has the "
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
  # A process without examples has zeros alone, which weigh nothing.
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
  """Returns how many positions all processes have."""
  return int(_summed(positions.mask.sum())) * positions.features.shape[1]


def _summed(own: np.ndarray) -> np.ndarray:
  """Returns the sum of all processes' arrays."""
  return parallel.to_host(np.asarray(own)[None]).sum(0)
