"""Placement of feature rows on the devices, and the size of chunks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parallel import SHARDED
from causal_mlr_jax.core.types import AnyArray, Array

# Numbers (not bytes) in the rows and distances of a chunk: on a CPU they about
# fill its cache, elsewhere they give enough work to hide kernel launches.
CHUNK_SIZE_CPU = 1 << 22
CHUNK_SIZE = 1 << 26


def default_chunk_rows(mesh: Mesh, channels: int, clusters: int) -> int:
  """Returns the number of rows [C] that a device processes at a time."""
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  size = CHUNK_SIZE_CPU if on_cpu else CHUNK_SIZE
  return max(1, size // (2 * channels + clusters))


def place(
  features: AnyArray,
  weights: AnyArray | None,
  mesh: Mesh,
) -> tuple[Array, Array]:
  """Returns rows [M, C] and weights [M], sharded; padding has weight 0.

  Args:
    features: A global array [M, C], or this process's rows on the host, the
      same number on every process.
    weights: Weights [M], given like `features`; None gives every row 1.
    mesh: The device mesh, from `core.parallel.make_mesh`.

  Raises:
    UserError: Shapes do not fit, or the number of devices does not divide the
      rows of a global array.
  """
  shape = np.shape(features)
  given = () if weights is None else np.shape(weights)
  if len(shape) != 2 or (weights is not None and given != shape[:1]):
    raise UserError(
      f"K-means takes features [rows, channels] and one weight per row; got "
      f"features {shape}, weights {given}."
    )
  if isinstance(features, jax.Array) and shape[0] % mesh.devices.size:
    raise UserError(
      f"K-means: {shape[0]} feature rows cannot be split over "
      f"{mesh.devices.size} devices. Pad them with rows of weight 0, or pass "
      "a host array."
    )
  if weights is None and isinstance(features, jax.Array):
    sharding = NamedSharding(mesh, SHARDED)
    weights = jnp.ones(shape[:1], jnp.float32, device=sharding)
  elif weights is None:
    weights = np.ones(shape[:1], np.float32)
  elif not isinstance(weights, jax.Array):
    weights = np.asarray(weights, np.float32)
  return _spread(features, mesh), _spread(weights, mesh)


def _spread(rows: AnyArray, mesh: Mesh) -> Array:
  """Splits host rows over this process's devices, one piece for each.

  Only the pieces that need padding are copied on the host, because the rows may
  occupy most of its memory.
  """
  sharding = NamedSharding(mesh, SHARDED)
  if isinstance(rows, jax.Array):
    return jax.device_put(rows, sharding)
  local = mesh.local_devices
  size = -(-len(rows) // len(local))
  pieces = []
  for i, device in enumerate(local):
    piece = np.asarray(rows[i * size : (i + 1) * size])
    missing = size - len(piece)
    if missing:
      padding = np.zeros((missing, *piece.shape[1:]), piece.dtype)
      piece = np.concatenate([piece, padding])
    pieces.append(jax.device_put(piece, device))
  return jax.make_array_from_single_device_arrays(
    (size * mesh.devices.size, *rows.shape[1:]),
    sharding,
    pieces,
  )
