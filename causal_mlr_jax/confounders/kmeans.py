"""K-means over feature rows that stay sharded over the devices.

k-means++ (Arthur and Vassilvitskii, 2007) chooses the first centres, Lloyd's
algorithm (1982) moves them. M counts the feature rows. A device sees only its
own rows; what travels is of the size of the centres [K, C]. All passes go
through the rows in chunks, so that distances [M, K] never exist at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding

from causal_mlr_jax.confounders.feature_rows import default_chunk_rows, place
from causal_mlr_jax.confounders.kmeans_passes import Passes, compiled
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parallel import make_mesh, replicate
from causal_mlr_jax.core.types import AnyArray, Array

# Squared distance, as a share of the squares that rounding acts on, below
# which an empty cluster has nowhere to go: the rows are one row in float32.
SAME_ROW = 1e-12


class KMeansResult(NamedTuple):
  """Clusters of feature rows.

  Attributes:
    centres_KC: float32.
    counts_K: weight of the rows nearest to each centre, float32; their number
      where there are no weights.
    inertia: sum of the weighted squared distances to the nearest centre.
    iterations: how often the centres were moved.
    history: inertia before the first move and after each; never rises beyond
      rounding.
  """

  centres_KC: np.ndarray
  counts_K: np.ndarray
  inertia: float
  iterations: int
  history: tuple[float, ...]


def kmeans(
  features: AnyArray,
  mesh: Mesh,
  num_clusters: int,
  key: Array,
  *,
  weights: AnyArray | None = None,
  max_iterations: int = 100,
  tolerance: float = 1e-4,
  init_centres_KC: np.ndarray | None = None,
  on_iteration: Callable[[int, float], None] | None = None,
  chunk_rows: int | None = None,
) -> KMeansResult:
  """Clusters rows [M, C]; empty clusters move to the farthest rows.

  Args:
    features: a global array [M, C] sharded over `data`, or this process's
      rows on the host (as many on every process).
    mesh: from `core.parallel.make_mesh`.
    num_clusters: K.
    key: decides the first centres, and nothing else.
    weights: [M], placed like `features`: how much a row counts. Rows of
      weight 0 (padding) are not read at all.
    max_iterations: how often the centres may be moved.
    tolerance: stop where a move lowers the inertia by no more than this
      share of it.
    init_centres_KC: first centres, in place of k-means++.
    on_iteration: called with the number of moves so far and the inertia.
    chunk_rows: rows a device handles at a time; None chooses.

  Raises:
    UserError: fewer different rows than clusters; features or weights that
      are not finite; shapes that do not fit.
  """
  rows_MC, weights_M = place(features, weights, mesh)
  passes = _compiled(mesh, chunk_rows, rows_MC.shape[1], num_clusters)
  _check(passes, rows_MC, weights_M, num_clusters)
  placed = passes, rows_MC, weights_M
  if init_centres_KC is None:
    centres_KC = _seeded(*placed, num_clusters, key, mesh)
  else:
    shape = num_clusters, rows_MC.shape[1]
    centres_KC = replicate(_checked_centres(init_centres_KC, shape), mesh)
  result = _lloyd(*placed, centres_KC, max_iterations, tolerance, on_iteration)
  if init_centres_KC is not None and not result.counts_K.all():
    # Clusters stayed empty: are there enough different rows to fill them?
    _seeded(*placed, num_clusters, key, mesh)
  return result


def assign(
  features: AnyArray,
  centres_KC: AnyArray,
  mesh: Mesh | None = None,
  *,
  chunk_rows: int | None = None,
) -> AnyArray:
  """Returns the index of the nearest centre of every row, int32 [M].

  Of centres at equal distance the first one wins.

  Args:
    features: a global array [M, C] sharded over `data`, or this process's
      rows on the host. The result is placed like it.
    centres_KC: the centres.
    mesh: by default the one of the global array, or all devices.
    chunk_rows: rows a device handles at a time; None chooses.

  Raises:
    UserError: shapes that do not fit.
  """
  on_host = not isinstance(features, jax.Array)
  if mesh is None:
    sharding = None if on_host else features.sharding
    known = sharding.mesh if isinstance(sharding, NamedSharding) else None
    mesh = known if isinstance(known, Mesh) else make_mesh()
  rows_MC, _ = place(features, None, mesh)
  centres_KC = _checked_centres(centres_KC, (len(centres_KC), rows_MC.shape[1]))
  passes = _compiled(mesh, chunk_rows, *centres_KC.shape[::-1])
  index_M = passes.assign(rows_MC, replicate(centres_KC, mesh))
  if not on_host:
    return index_M
  shards = sorted(
    index_M.addressable_shards, key=lambda s: s.index[0].start or 0
  )
  return np.concatenate([s.data for s in shards])[: len(features)]


def _compiled(
  mesh: Mesh, chunk_rows: int | None, channels: int, clusters: int
) -> Passes:
  if chunk_rows is None:
    chunk_rows = default_chunk_rows(mesh, channels, clusters)
  return compiled(mesh, chunk_rows)


def _seeded(
  passes: Passes,
  rows_MC: Array,
  weights_M: Array,
  num_clusters: int,
  key: Array,
  mesh: Mesh,
) -> Array:
  """Returns centres [K, C] by k-means++.

  Raises:
    UserError: fewer different rows than clusters.
  """
  zeros_KC = np.zeros((num_clusters, rows_MC.shape[1]), np.float32)
  # Two words of its own, so that every kind of key draws in the same way.
  bits = np.asarray(jax.random.bits(key, (2,), jnp.uint32))
  centres_KC, distinct = passes.seed(
    rows_MC, weights_M, *replicate((zeros_KC, bits), mesh)
  )
  if int(distinct) < num_clusters:
    raise _too_few(num_clusters, int(distinct), "different feature rows")
  return centres_KC


def _lloyd(
  passes: Passes,
  rows_MC: Array,
  weights_M: Array,
  centres_KC: Array,
  max_iterations: int,
  tolerance: float,
  on_iteration: Callable[[int, float], None] | None,
) -> KMeansResult:
  history: list[float] = []
  reseeded = False
  for moves in range(max(max_iterations, 0) + 1):
    moved_KC, counts_K, inertia = passes.step(rows_MC, weights_M, centres_KC)
    # The one wait for the devices in an iteration.
    counts, inertia = jax.device_get((counts_K, inertia))
    if not np.isfinite(inertia):
      raise UserError(
        "K-means: squared distances between features are too large for "
        "float32. Scale the features, for example to unit length."
      )
    history.append(float(inertia))
    logging.vlog(1, "K-means: move %d, inertia %.6g", moves, history[-1])
    if on_iteration is not None:
      on_iteration(moves, history[-1])
    empty = int((counts == 0).sum())
    settled = _settled(history, tolerance) and (reseeded or not empty)
    if settled or moves >= max_iterations:
      break
    reseeded = empty > 0
    if reseeded:
      logging.info("K-means: %d empty cluster(s) moved", empty)
      moved_KC, nearest = passes.reseed(rows_MC, weights_M, moved_KC, counts_K)
      if float(nearest) <= SAME_ROW:
        break
    centres_KC = moved_KC
  _log(counts, history)
  return KMeansResult(
    np.asarray(jax.device_get(centres_KC)),
    np.asarray(counts),
    history[-1],
    moves,
    tuple(history),
  )


def _settled(history: list[float], tolerance: float) -> bool:
  if len(history) < 2:
    return False
  before, now = history[-2:]
  return before - now <= tolerance * before


def _log(counts: np.ndarray, history: list[float]) -> None:
  logging.info(
    "K-means: inertia %.6g (first %.6g) after %d move(s); clusters of %g "
    "to %g (median %g)",
    history[-1],
    history[0],
    len(history) - 1,
    counts.min(),
    counts.max(),
    np.median(counts),
  )
  if (counts == 0).any():
    logging.warning(
      "K-means: %d cluster(s) stayed empty; fewer would do",
      (counts == 0).sum(),
    )


def _too_few(num_clusters: int, got: int, what: str) -> UserError:
  return UserError(
    f"confounders.num = {num_clusters} is too many clusters: expected at "
    f"most {got}, the number of {what}. Lower confounders.num, or collect "
    "features of more images or positions."
  )


def _check(
  passes: Passes, rows_MC: Array, weights_M: Array, num_clusters: int
) -> None:
  if num_clusters < 1:
    raise UserError(
      f"confounders.num = {num_clusters}: expected at least 1 cluster."
    )
  bad_rows, bad_weights, used = jax.device_get(
    passes.survey(rows_MC, weights_M)
  )
  if bad_weights:
    raise UserError(
      f"K-means: {bad_weights} weight(s) are negative or not finite; "
      "expected 0 for padding and 1 for a feature row."
    )
  if bad_rows:
    raise UserError(
      f"K-means: {bad_rows} of {used} feature rows hold NaN or infinite "
      "numbers. Look at the backbone's weights and at the images."
    )
  if used < num_clusters:
    raise _too_few(num_clusters, int(used), "feature rows")


def _checked_centres(
  centres_KC: AnyArray, expected: tuple[int, int]
) -> np.ndarray:
  centres_KC = np.asarray(jax.device_get(centres_KC), np.float32)
  if centres_KC.shape != expected or not np.isfinite(centres_KC).all():
    raise UserError(
      f"Centres must be finite and of shape {expected}, clusters by feature "
      f"channels; got shape {centres_KC.shape}."
    )
  return centres_KC
