"""One mesh axis, `data`, and a `pmap` that Orbax and jit understand.

The program runs on JAX's own multi-controller runtime: one process, or several
joined by `jax.distributed`. A step is written for one device, with collectives
over `AXIS`, and `pmapped` maps it over all devices.
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
# How long processes wait for one that works alone, such as on preparing a data
# set.
PATIENCE_MS = 7 * 24 * 60 * 60 * 1000
_meetings = itertools.count()


def initialize() -> None:
  """Joins the other processes under Slurm, on Cloud TPU or on Kubernetes.

  Under Slurm, JAX gives each process one GPU: the one whose number is the
  process's rank on the node.

  Raises:
    UserError: No cluster was found, or its coordinator did not answer.
  """
  try:
    jax.distributed.initialize()
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"--distributed: JAX could not join a cluster: {error}. Start one "
      "process per GPU under Slurm, or one process per host on Cloud TPU or "
      "Kubernetes; omit the flag where a single process has all devices."
    ) from error
  progress.say(
    f"devices: {jax.device_count()}; processes: {jax.process_count()}"
  )


def make_mesh(
  # JAX gives the class as a variable.
  devices: list[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> Mesh:
  """Returns a one-axis mesh over `devices`, by default all devices."""
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

  This is `jit` of `shard_map`, as in current versions of `jax.pmap`, but
  without the leading device axis: arguments and results are global arrays.

  `check_vma=False` gives collectives the meaning they have under `jax.pmap`:
  the gradient of a replicated parameter is each device's own, and the step
  takes its `pmean`. (With `check_vma=True` the gradient would already be summed
  over the devices, and its `pmean` too large by the number of devices.)

  Args:
    step: Function of one device's shard, with collectives over `AXIS`.
    mesh: Mesh from `make_mesh`.
    in_specs: A PartitionSpec, or a tuple with one for each argument.
    out_specs: The same for the results; `REPLICATED` results must be equal on
      all devices.
    donate_argnums: Arguments whose memory the results may reuse.
  """
  mapped = jax.shard_map(
    step, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )
  return jax.jit(mapped, donate_argnums=donate_argnums)


def axis_size(axis_name: str | None = AXIS) -> int:
  """Returns the size of a mapped axis, or 1 where the axis is not bound."""
  if axis_name is None:
    return 1
  try:
    return jax.lax.axis_size(axis_name)
  except NameError:  # what JAX raises for an unbound axis
    return 1


def axis_sum(tree: Tree, axis_name: str | None = AXIS) -> Tree:
  """Sums over a mapped axis, without a gradient; returns `tree` if unbound.

  The gradient is stopped because it would be wrong: a step averages its own
  gradients over the devices (see `pmapped`), and the transpose of a sum over
  devices would sum them once more.

  Args:
    tree: Each device's own arrays.
    axis_name: Name of the axis.
  """
  tree = jax.lax.stop_gradient(tree)
  return jax.lax.psum(tree, axis_name) if axis_size(axis_name) > 1 else tree


def replicate(tree: Tree, mesh: Mesh) -> Tree:
  """Puts a copy of every array of `tree` on each device.

  Args:
    tree: Host arrays that are equal in all processes, or global arrays, such as
      those restored from a checkpoint.
    mesh: Mesh from `make_mesh`.
  """
  sharding = NamedSharding(mesh, REPLICATED)

  def put(x: Any) -> jax.Array:
    x = np.asarray(x) if not isinstance(x, jax.Array) else x
    if jax.process_count() == 1:
      return jax.device_put(x, sharding)
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
      return jax.device_put(x, sharding)  # this process holds only a part
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(put, tree)


def shard(tree: Tree, mesh: Mesh) -> Tree:
  """Splits host arrays over the devices along their first axis.

  Args:
    tree: This process's part of the batch, arrays [B / processes, ...].
    mesh: Mesh from `make_mesh`.
  """
  sharding = NamedSharding(mesh, SHARDED)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    tree,
  )


def check_divides(name: str, size: int, mesh: Mesh) -> None:
  """Checks that a batch can be split evenly over the devices of the mesh.

  Args:
    name: Configuration key, for the message.
    size: Global batch size.
    mesh: Mesh from `make_mesh`.

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
  """Gathers a tree's arrays from all processes as NumPy arrays."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)


def local_part(array: jax.Array, mesh: Mesh) -> np.ndarray:
  """Returns this process's part of a sharded array as a NumPy array.

  Args:
    array: Array [B, ...], split over the devices along its first axis.
    mesh: Mesh from `make_mesh`.
  """
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    array = multihost_utils.global_array_to_host_local_array(
      array, mesh, SHARDED
    )
  return np.asarray(array)


@contextlib.contextmanager
def wait_for_all() -> Iterator[None]:
  """Waits for all processes after the block; raises in all if one failed.

  Use it for work that only one process does, or that can fail in only one of
  them: without it, the others would wait until the runtime gives up. Here they
  wait as long as the work takes. The block must not wait for other processes
  itself, so it must contain no collective and no other `together`.

  Raises:
    UserError: Another process failed; that process raises its own error.
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
  # A collective times out when the others arrive late: after 30 s on CPUs. The
  # barrier of the runtime waits, and ends when a process dies.
  meet = multihost.get_barrier_sync_fn()
  meet(key=f"together {next(_meetings)}", timeout_ms=PATIENCE_MS)
  failed = multihost_utils.process_allgather(np.asarray([own is not None]))
  if own is not None:
    raise own
  if np.any(failed):
    others = ", ".join(str(i) for i in np.flatnonzero(failed))
    raise UserError(
      f"Process {jax.process_index()} stops because of an error in process "
      f"{others}; see the output of that process."
    )


def decided_by_first(ask: Callable[[], bool]) -> bool:
  """Evaluates `ask` in the first process and returns its answer in all.

  Use it for decisions that depend on a shared disk: processes that look there
  at different times, or through their own caches, may see different states, and
  would then wait for each other in different places.

  Args:
    ask: Function that is called; it must contain no collective.

  Raises:
    UserError: See `together`.
  """
  answer = False
  with wait_for_all():
    if jax.process_index() == 0:
      answer = ask()
  if jax.process_count() == 1:
    return answer
  from jax.experimental import multihost_utils

  return bool(multihost_utils.broadcast_one_to_all(np.asarray(answer)))
