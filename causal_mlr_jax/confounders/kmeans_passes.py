"""The passes of K-means over the rows, written for one device.

Here M is the number of rows of one device. The nearest centre minimises
||c||² - 2 x·c, with x and c relative to the mean of the centres. Relative to
the origin, rows with a large common part, such as all features after a ReLU,
would lose their differences to rounding. The distance is then summed from the
differences themselves. Draws depend on the global row number, not the device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from causal_mlr_jax.core.parallel import AXIS, REPLICATED, SHARDED, pmapped
from causal_mlr_jax.core.types import Array


class Passes(NamedTuple):
  """The compiled passes over rows [M, C] and weights [M], both sharded.

  Attributes:
    survey: (rows, weights) -> counts of bad rows, bad weights, used rows.
    seed: (rows, weights, zeros [K, C], bits) -> k-means++ centres [K, C], and
      the number of distinct ones.
    step: (rows, weights, centres) -> centres moved to the mean of their rows,
      and the counts [K] and the inertia of the centres before the move.
    reseed: (rows, weights, centres, counts) -> centres, the empty ones moved to
      the farthest rows; and the smallest squared distance from such a row to
      the other centres, relative to the squared norms.
    assign: (rows, centres) -> index [M] of the nearest centre, sharded.
  """

  survey: Callable[..., tuple[Array, Array, Array]]
  seed: Callable[..., tuple[Array, Array]]
  step: Callable[..., tuple[Array, Array, Array]]
  reseed: Callable[..., tuple[Array, Array]]
  assign: Callable[..., Array]


@functools.lru_cache(maxsize=16)
def compiled(mesh: Mesh, chunk_rows: int) -> Passes:
  """Returns the compiled passes for a mesh, which are cached.

  Args:
    mesh: The device mesh, from `core.parallel.make_mesh`.
    chunk_rows: Number of rows that a device processes at a time.
  """
  rows, whole = SHARDED, REPLICATED

  def mapped(pass_: Callable[..., Any], *specs: Any, out: Any = whole) -> Any:
    chunked = functools.partial(pass_, chunk_rows=chunk_rows)
    return pmapped(chunked, mesh, specs, out)

  return Passes(
    survey=mapped(_survey, rows, rows),
    seed=mapped(_seed, rows, rows, whole, whole),
    step=mapped(_step, rows, rows, whole),
    reseed=mapped(_reseed, rows, rows, whole, whole),
    assign=mapped(nearest_centre, rows, whole, out=rows),
  )


def _survey(
  rows_MC: Array, weights_M: Array, *, chunk_rows: int
) -> tuple[Array, Array, Array]:
  def visit(bad: Array, start: Array, chunk_MC: Array, fresh_M: Array) -> Array:
    weight_M = lax.dynamic_slice_in_dim(weights_M, start, len(chunk_MC))
    read_M = fresh_M & (weight_M > 0)
    return bad + (read_M & ~jnp.isfinite(chunk_MC).all(1)).sum()

  bad = _fold(visit, jnp.int32(0), rows_MC, chunk_rows)
  wrong_M = ~(jnp.isfinite(weights_M) & (weights_M >= 0))
  return lax.psum((bad, wrong_M.sum(), (weights_M > 0).sum()), AXIS)


def _seed(
  rows_MC: Array,
  weights_M: Array,
  zeros_KC: Array,
  bits: Array,
  *,
  chunk_rows: int,
) -> tuple[Array, Array]:
  """Returns k-means++ centres: rows drawn by squared distance to the others."""
  key = jax.random.wrap_key_data(bits, impl="threefry2x32")
  first = lax.axis_index(AXIS) * rows_MC.shape[0]
  number_M = first + jnp.arange(rows_MC.shape[0])

  def draw(k: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
    centres_KC, distance_M, distinct = carry
    chance_M = weights_M * jnp.where(k == 0, 1.0, distance_M)
    # The minimum of exponential waiting times with the rates `chance`.
    wait_M = _exponential(jax.random.fold_in(key, k), number_M)
    score_M = jnp.where(weights_M > 0, chance_M / wait_M, 0)
    row_C, score = _pick(rows_MC, score_M)
    distance_M = _nearer(distance_M, rows_MC, row_C, chunk_rows)
    distinct += (score > 0).astype(jnp.int32)
    return centres_KC.at[k].set(row_C), distance_M, distinct

  start = zeros_KC, jnp.full(rows_MC.shape[0], jnp.inf), jnp.int32(0)
  centres_KC, _, distinct = lax.fori_loop(0, len(zeros_KC), draw, start)
  return centres_KC, distinct


def _exponential(key: Array, number_M: Array) -> Array:
  """Returns a waiting time for each row, which depends only on its number."""

  def one(number: Array) -> Array:
    return jax.random.bits(jax.random.fold_in(key, number), dtype=jnp.uint32)

  # The shortest times decide, and among millions of rows they are very short.
  # This keeps all 32 bits; `jax.random.uniform` has steps of 2^-23.
  uniform_M = jax.vmap(one)(number_M).astype(jnp.float32) + 0.5
  return -jnp.log1p(-uniform_M * 2.0**-32)


def _pick(rows_MC: Array, score_M: Array) -> tuple[Array, Array]:
  """Returns the row with the largest score on any device, and that score.

  Among equal scores the row with the lowest number is chosen.
  """
  index = jnp.argmax(score_M)
  scores = lax.all_gather(score_M[index], AXIS)
  owner = jnp.argmax(scores)
  row_C = rows_MC[index].astype(jnp.float32)
  row_C = lax.psum(jnp.where(lax.axis_index(AXIS) == owner, row_C, 0), AXIS)
  return row_C, scores[owner]


def _nearer(
  distance_M: Array, rows_MC: Array, row_C: Array, chunk_rows: int
) -> Array:
  """Returns the squared distances after `row_C` has become a centre."""

  def visit(
    distance_M: Array, start: Array, chunk_MC: Array, fresh_M: Array
  ) -> Array:
    del fresh_M  # Taking the minimum twice is harmless.
    before_M = lax.dynamic_slice_in_dim(distance_M, start, len(chunk_MC))
    after_M = jnp.minimum(before_M, _square_sum(chunk_MC - row_C[None]))
    return lax.dynamic_update_slice_in_dim(distance_M, after_M, start, 0)

  return _fold(visit, distance_M, rows_MC, chunk_rows)


def _step(
  rows_MC: Array,
  weights_M: Array,
  centres_KC: Array,
  *,
  chunk_rows: int,
) -> tuple[Array, Array, Array]:
  clusters = len(centres_KC)
  shift_C = centres_KC.mean(0)

  def visit(
    carry: tuple[Array, ...], start: Array, chunk_MC: Array, fresh_M: Array
  ) -> tuple[Array, ...]:
    sums_KC, counts_K, inertia = carry
    weight_M = lax.dynamic_slice_in_dim(weights_M, start, len(chunk_MC))
    weight_M = jnp.where(fresh_M, weight_M, 0)
    # Padding may hold NaN, which a product with a weight of 0 does not remove.
    chunk_MC = jnp.where(weight_M[:, None] > 0, chunk_MC - shift_C[None], 0)
    near_KC = centres_KC - shift_C[None]
    index_M = _nearest(chunk_MC, near_KC)
    distance_M = _square_sum(chunk_MC - near_KC[index_M])
    member_MK = jax.nn.one_hot(index_M, clusters) * weight_M[:, None]
    # A product, not a scatter: its summation order on a GPU is fixed.
    sums_KC += jnp.einsum(
      "mk,mc->kc", member_MK, chunk_MC, precision=lax.Precision.HIGHEST
    )
    counts_K += member_MK.sum(0)
    return sums_KC, counts_K, inertia + (weight_M * distance_M).sum()

  zeros = jnp.zeros(centres_KC.shape), jnp.zeros(clusters), jnp.float32(0)
  totals = _fold(visit, zeros, rows_MC, chunk_rows)
  sums_KC, counts_K, inertia = lax.psum(totals, AXIS)
  filled_K1 = counts_K[:, None] > 0
  mean_KC = shift_C[None] + sums_KC / jnp.where(filled_K1, counts_K[:, None], 1)
  return jnp.where(filled_K1, mean_KC, centres_KC), counts_K, inertia


def _nearest(rows_MC: Array, centres_KC: Array) -> Array:
  """Returns the index [M] of the nearest centre, the first among equal ones."""
  product_MK = jnp.einsum(
    "mc,kc->mk", rows_MC, centres_KC, precision=lax.Precision.HIGHEST
  )
  part_MK = (centres_KC**2).sum(1)[None] - 2 * product_MK
  return lax.argmin(part_MK, 1, jnp.int32)


def _square_sum(difference_MC: Array) -> Array:
  """Returns the squared norms [M], exactly 0 for a difference of 0."""
  # A product with ones, because XLA's row sum takes ten times as long on CPU.
  ones_C = jnp.ones(difference_MC.shape[1])
  return jnp.matmul(difference_MC**2, ones_C, precision=lax.Precision.HIGHEST)


def _reseed(
  rows_MC: Array,
  weights_M: Array,
  centres_KC: Array,
  counts_K: Array,
  *,
  chunk_rows: int,
) -> tuple[Array, Array]:
  """Moves empty centres in turn to the row farthest from all centres."""
  full_K = counts_K > 0
  # An empty centre is no row's nearest, so it is replaced by a full one here.
  stand_in_KC = jnp.where(
    full_K[:, None], centres_KC, centres_KC[jnp.argmax(full_K)][None]
  )
  _, distance_M = _own_centre(rows_MC, stand_in_KC, chunk_rows)
  shift = (stand_in_KC.mean(0) ** 2).sum()

  def move(k: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
    centres_KC, distance_M, least = carry
    score_M = jnp.where(weights_M > 0, distance_M, -1)
    row_C, distance = _pick(rows_MC, score_M)
    distance_M = _nearer(distance_M, rows_MC, row_C, chunk_rows)
    scale = (row_C**2).sum() + shift
    share = distance / jnp.maximum(scale, jnp.finfo(jnp.float32).tiny)
    return centres_KC.at[k].set(row_C), distance_M, jnp.minimum(least, share)

  def visit(k: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
    return lax.cond(full_K[k], lambda _, same: same, move, k, carry)

  start = centres_KC, distance_M, jnp.float32(jnp.inf)
  centres_KC, _, least = lax.fori_loop(0, len(centres_KC), visit, start)
  return centres_KC, least


def nearest_centre(
  rows_MC: Array, centres_KC: Array, *, chunk_rows: int
) -> Array:
  """Returns the index [M] of the nearest centre of one device's rows.

  Args:
    rows_MC: The rows.
    centres_KC: The centres; the first among those at equal distance is chosen.
    chunk_rows: Number of rows to process at a time.
  """
  return _own_centre(rows_MC, centres_KC, chunk_rows)[0]


def _own_centre(
  rows_MC: Array, centres_KC: Array, chunk_rows: int
) -> tuple[Array, Array]:
  """Returns index [M] and squared distance [M] of the nearest centre."""
  near_KC = centres_KC - centres_KC.mean(0)[None]

  def visit(
    carry: tuple[Array, ...], start: Array, chunk_MC: Array, fresh_M: Array
  ) -> tuple[Array, ...]:
    del fresh_M  # Rows seen twice get the same result twice.
    index_M = _nearest(chunk_MC - centres_KC.mean(0)[None], near_KC)
    found = index_M, _square_sum(chunk_MC - centres_KC[index_M])
    return tuple(
      lax.dynamic_update_slice_in_dim(all_M, found_M, start, 0)
      for all_M, found_M in zip(carry, found, strict=True)
    )

  rows = rows_MC.shape[0]
  zeros = jnp.zeros(rows, jnp.int32), jnp.zeros(rows)
  return _fold(visit, zeros, rows_MC, chunk_rows)


def _fold(
  visit: Callable[..., Any],
  carry: Any,
  rows_MC: Array,
  chunk_rows: int,
) -> Any:
  """Runs `carry = visit(carry, start, chunk_MC, fresh_M)` over all chunks.

  If the chunk size does not divide the rows, the last chunk overlaps the one
  before, since padding would copy all rows; `fresh_M` marks rows not seen yet.
  """
  rows = rows_MC.shape[0]
  if rows == 0:
    return carry
  size = min(chunk_rows, rows)

  def body(i: Array, carry: Any) -> Any:
    start = jnp.minimum(i * size, rows - size)
    chunk_MC = lax.dynamic_slice_in_dim(rows_MC, start, size)
    fresh_M = start + jnp.arange(size) >= i * size
    return visit(carry, start, chunk_MC.astype(jnp.float32), fresh_M)

  return lax.fori_loop(0, -(-rows // size), body, carry)
