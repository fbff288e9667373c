"""One mesh axis, `data`, and a `pmap` that Orbax and jit understand.

The distributed engine is JAX's own multi-controller runtime: one process on a
machine, or several joined by `jax.distributed`. A step is written for one
device, with collectives over `AXIS`, and mapped over all devices by
`pmapped`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree

AXIS = "data"
REPLICATED = PartitionSpec()
SHARDED = PartitionSpec(AXIS)
# How long processes wait for one that works alone, as to prepare a data set.
PATIENCE_MS = 7 * 24 * 60 * 60 * 1000
_meetings = itertools.count()


def initialize() -> None:
  """Joins the other processes; Slurm, Cloud TPU and Kubernetes are known.

  Under Slurm JAX gives a process one GPU, that of its number on the node.

  Raises:
    UserError: no cluster was found or its coordinator did not answer.
  """
  try:
    jax.distributed.initialize()
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"--distributed: JAX could not join a cluster: {error}. Start one "
      "process for each GPU under Slurm, or one a host on Cloud TPU or "
      "Kubernetes; leave the flag out where a single process has all devices."
    ) from error
  progress.say(
    f"devices: {jax.device_count()}; processes: {jax.process_count()}"
  )


def make_mesh(
  # JAX gives the class as a variable.
  devices: list[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Mesh:
  """Returns a one-axis mesh over `devices`, by default all of them."""
  devices = jax.devices() if devices is None else devices
  return jax.make_mesh(
    (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
  )


def pmapped(
  step: Callable[..., Any],
  mesh: Mesh,
  in_specs: Any,
  out_specs: Any,
  donate_argnums: int | tuple[int, ...] = (),
) -> Callable[..., Any]:
  """Maps a per-device function over the mesh and compiles it.

  It is what `jax.pmap` has become, `jit` of `shard_map`, without the leading
  device axis: arguments and results are global arrays.

  `check_vma=False` gives collectives the meaning they have under `jax.pmap`:
  the gradient of a replicated parameter is the device's own, and the step
  takes its `pmean`. (With `check_vma=True` it would come summed already, and
  a `pmean` would leave it too large by the number of devices.)

  Args:
    step: function of one device's shard, with collectives over `AXIS`.
    mesh: from `make_mesh`.
    in_specs: a PartitionSpec, or a tuple of them, one an argument.
    out_specs: the same for the results; what is `REPLICATED` must be equal
      on all devices.
    donate_argnums: arguments whose memory the results may take.
  """
  mapped = jax.shard_map(
    step, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )
  return jax.jit(mapped, donate_argnums=donate_argnums)


def axis_size(axis_name: str | None = AXIS) -> int:
  """Returns the size of a mapped axis, 1 where it is not bound."""
  if axis_name is None:
    return 1
  try:
    return jax.lax.axis_size(axis_name)
  except NameError:  # JAX's word for an axis that no map has bound
    return 1


def axis_sum(tree: Tree, axis_name: str | None = AXIS) -> Tree:
  """Sums over a mapped axis; without a gradient, itself where not bound.

  The gradient is cut because of what it would be: a step takes the mean over
  devices of its own gradients (see `pmapped`), and the transpose of a sum
  over devices sums once more.

  Args:
    tree: of arrays, each device's own.
    axis_name: of the axis.
  """
  tree = jax.lax.stop_gradient(tree)
  return jax.lax.psum(tree, axis_name) if axis_size(axis_name) > 1 else tree


def replicate(tree: Tree, mesh: Mesh) -> Tree:
  """Puts a copy of every array of `tree` on each device.

  Args:
    tree: of host arrays, the same in all processes, or of global arrays, as
      they are restored from a checkpoint.
    mesh: from `make_mesh`.
  """
  sharding = NamedSharding(mesh, REPLICATED)

  def put(x: Any) -> jax.Array:
    x = np.asarray(x) if not isinstance(x, jax.Array) else x
    if jax.process_count() == 1:
      return jax.device_put(x, sharding)
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
      return jax.device_put(x, sharding)  # a process holds but a part of it
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(put, tree)


def shard(tree: Tree, mesh: Mesh) -> Tree:
  """Splits host arrays over the devices along their first axis.

  Args:
    tree: this process's part of the batch, arrays [B / processes, ...].
    mesh: from `make_mesh`.
  """
  sharding = NamedSharding(mesh, SHARDED)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    tree,
  )


def check_divides(name: str, size: int, mesh: Mesh) -> None:
  """Raises unless the devices of the mesh divide `size`.

  Args:
    name: the config key, for the message.
    size: a global batch size.
    mesh: from `make_mesh`.

  Raises:
    UserError: `size` is not a positive multiple of the device count.
  """
  devices = mesh.devices.size
  if size > 0 and size % devices == 0:
    return
  below, above = size // devices * devices, (size // devices + 1) * devices
  near = f"{below} or {above}" if below > 0 else str(above)
  raise UserError(
    f"{name} = {size} cannot be split over {devices} devices: expected a "
    f"positive multiple of {devices}, for example {near}."
  )


def to_host(tree: Tree) -> Tree:
  """Returns a tree's arrays as numpy arrays, gathered from all processes."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)


def own_part(array: jax.Array, mesh: Mesh) -> np.ndarray:
  """Returns what this process holds of a sharded array, on the host.

  Args:
    array: [B, ...], split over the devices along its first axis.
    mesh: from `make_mesh`.
  """
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    array = multihost_utils.global_array_to_host_local_array(
      array, mesh, SHARDED
    )
  return np.asarray(array)


@contextlib.contextmanager
def together() -> Iterator[None]:
  """Waits after the block for all processes, and ends all where one failed.

  For what one process does, or may fail in, alone: the others would wait for
  it until the runtime gives it up. However long it takes, they wait. The block
  must not wait for other processes itself: it holds no collective and no other
  `together`.

  Raises:
    UserError: another process failed; the one that did raises its own error.
  """
  if jax.process_count() == 1:
    yield
    return
  from jax.experimental import multihost_utils
  from orbax.checkpoint import multihost

  own: Exception | None = None
  try:
    yield
  except Exception as error:
    own = error
  # A collective would be given up where the others come late: after 30 s on
  # CPUs. The barrier of the runtime waits, and ends when a process dies.
  meet = multihost.get_barrier_sync_fn()
  meet(key=f"together {next(_meetings)}", timeout_ms=PATIENCE_MS)
  failed = multihost_utils.process_allgather(np.asarray([own is not None]))
  if own is not None:
    raise own
  if np.any(failed):
    others = ", ".join(str(i) for i in np.flatnonzero(failed))
    raise UserError(
      f"Process {jax.process_index()} stops because of an error in process "
      f"{others}, whose output says what it was."
    )


def first_decides(ask: Callable[[], bool]) -> bool:
  """Asks the first process alone, and returns its answer in all of them.

  For what the state of a shared disk decides: processes that look there at
  different times, or through caches of their own, see different states, and
  would then wait for each other in different places.

  Args:
    ask: a question that holds no collective.

  Raises:
    UserError: as `together`.
  """
  answer = False
  with together():
    if jax.process_index() == 0:
      answer = ask()
  if jax.process_count() == 1:
    return answer
  from jax.experimental import multihost_utils

  return bool(multihost_utils.broadcast_one_to_all(np.asarray(answer)))
