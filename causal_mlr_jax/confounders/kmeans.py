"""K-means over feature rows that are sharded over the devices.

k-means++ (Arthur and Vassilvitskii, 2007) chooses the initial centres, and
Lloyd's algorithm (1982) moves them. M is the number of feature rows. A device
sees only its own rows; devices exchange only arrays of the size of the centres
[K, C]. All passes go through the rows in chunks, so that the distances [M, K]
never exist at once.
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

# Relative to the squared norms that are subtracted: two rows with a smaller
# squared distance are equal in float32, so an empty cluster cannot move there.
SAME_ROW = 1e-12


class KMeansResult(NamedTuple):
  """Clusters of feature rows.

  Attributes:
    centres_KC: Centres, float32.
    counts_K: Total weight of the rows nearest to each centre, float32; their
      number if there are no weights.
    inertia: Weighted sum of the squared distances to the nearest centres.
    iterations: Number of times the centres were moved.
    history: Inertia before the first move and after each; apart from rounding
      it never rises.
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
    features: A global array [M, C] sharded over `data`, or this process's
      rows on the host (the same number on every process).
    mesh: The device mesh, from `core.parallel.make_mesh`.
    num_clusters: Number of clusters K.
    key: Random key; it decides only the initial centres.
    weights: Weight [M] of each row, placed like `features`. Rows of weight 0
      (padding) are not read at all.
    max_iterations: Maximum number of times the centres are moved.
    tolerance: Relative decrease of the inertia at or below which to stop.
    init_centres_KC: Initial centres, instead of those of k-means++.
    on_iteration: Function called with the number of moves so far and the
      inertia.
    chunk_rows: Number of rows that a device processes at a time; None chooses.

  Raises:
    UserError: There are fewer distinct rows than clusters, features or weights
      are not finite, or shapes do not fit.
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
    # Clusters stayed empty: this raises if there are too few distinct rows.
    _seeded(*placed, num_clusters, key, mesh)
  return result


def assign(
  features: AnyArray,
  centres_KC: AnyArray,
  mesh: Mesh | None = None,
  *,
  chunk_rows: int | None = None,
) -> AnyArray:
  """Returns the index of each row's nearest centre, int32 [M].

  Among centres at equal distance the first one is chosen.

  Args:
    features: A global array [M, C] sharded over `data`, or this process's
      rows on the host. The result is placed like it.
    centres_KC: The centres.
    mesh: The device mesh; by default that of the global array, or all devices.
    chunk_rows: Number of rows that a device processes at a time; None chooses.

  Raises:
    UserError: Shapes do not fit.
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
  """Returns the initial centres [K, C] of k-means++.

  Raises:
    UserError: There are fewer distinct rows than clusters.
  """
  zeros_KC = np.zeros((num_clusters, rows_MC.shape[1]), np.float32)
  # Raw bits, so that keys of every implementation lead to the same draws.
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
    # The only point in an iteration that waits for the devices.
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
      "K-means: %d cluster(s) stayed empty; use fewer clusters",
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
      "values. Check the backbone's weights and the images."
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
