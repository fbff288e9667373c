"""Checkpoints: the training state and the position in the data, together."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from grain.checkpoint import CheckpointSave
from jax.sharding import Mesh, NamedSharding
from orbax.checkpoint import checkpoint_managers as managers

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Tree

METRIC = "validation"
# Metric name to (total, count) over the steps since the last line of the log.
Sums = dict[str, tuple[float, float]]


class Checkpoints:
  """The checkpoints of one run; the newest and the best are kept.

  Orbax writes a checkpoint under a temporary name and renames it when it is
  complete, so an interrupted write is never mistaken for a checkpoint.
  """

  def __init__(self, directory: pathlib.Path):
    """Opens a folder of checkpoints, which need not exist yet.

    Args:
      directory: Absolute path of the folder.
    """
    self._directory = directory

    def best(metrics: dict[str, Any]) -> float:
      return metrics[METRIC]

    options = ocp.CheckpointManagerOptions(
      best_fn=best,
      best_mode="max",
      # Processes may see different states of a shared disk for a while.
      single_host_load_and_broadcast=True,
      preservation_policy=managers.AnyPreservationPolicy(
        [
          managers.LatestN(1),
          managers.BestN(
            get_metric_fn=best, n=1, keep_checkpoints_without_metrics=False
          ),
        ]
      ),
    )
    # That of grain looks like those of Orbax; they share no class.
    handlers: dict[str, Any] = {
      "state": ocp.StandardCheckpointHandler(),
      "data": grain.checkpoint.CheckpointHandler(),
      "sums": ocp.JsonCheckpointHandler(),
    }
    self._manager = ocp.CheckpointManager(
      directory,
      options=options,
      item_names=("state", "data", "sums"),
      item_handlers=handlers,
    )

  @property
  def latest_step(self) -> int | None:
    """The newest saved step, or None if there is no checkpoint."""
    latest = self._manager.latest_step()
    return None if latest is None else int(latest)

  @property
  def best_step(self) -> int | None:
    """The step with the best validation mAP, or else the newest step."""
    best = self._manager.best_step()
    return self.latest_step if best is None else int(best)

  def save(
    self,
    step: int,
    state: Tree,
    iterator: grain.DatasetIterator,
    validation: float | None = None,
    sums: Sums | None = None,
  ) -> None:
    """Saves in the background; the arrays are copied before it returns.

    Args:
      step: Number of steps done.
      state: The training state.
      iterator: Iterator over the training batches, at the next batch.
      validation: Metric that selects the best checkpoint; None for a checkpoint
        that only serves to resume.
      sums: Sums of the metrics since the last line of the log.

    Raises:
      UserError: The checkpoint could not be written.
    """
    metrics = None if validation is None else {METRIC: validation}
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          data=CheckpointSave(iterator),
          sums=ocp.args.JsonSave(sums or {}),
        ),
        metrics=metrics,
      )
    except OSError as error:
      raise self._unwritable(error) from error

  def restore(
    self,
    step: int,
    target: Tree,
    mesh: Mesh,
    iterator: grain.DatasetIterator | None = None,
  ) -> Tree:
    """Returns the state of a step, replicated, and sets the iterator to it.

    Args:
      step: A saved step.
      target: A state of the same structure, shapes and dtypes, or their
        `jax.ShapeDtypeStruct`s.
      mesh: The device mesh, from `parallel.make_mesh`.
      iterator: Iterator to set to the saved position in the data, or None.

    Raises:
      UserError: The checkpoint is damaged or belongs to another model.
    """
    abstract = _replicated(target, mesh)
    items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    path = self._directory / str(step)
    try:
      self._check(step, abstract)
      restored = self._manager.restore(step, args=items)
      if iterator is not None:
        _set_place(iterator, path / "data")
    except UserError:
      raise
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise self._unreadable(step, error) from error
    return restored["state"]

  def restore_fields(
    self, step: int, target: dict[str, Tree], mesh: Mesh
  ) -> dict[str, Tree]:
    """Returns some fields of the state of a step, replicated.

    Args:
      step: A saved step.
      target: The fields to restore by name, see `restore`.
      mesh: The device mesh, from `parallel.make_mesh`.

    Raises:
      UserError: The checkpoint is damaged or belongs to another model.
    """
    abstract = _replicated(target, mesh)
    try:
      self._check(step, abstract, partly=True)
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise self._unreadable(step, error) from error
    arguments = ocp.checkpoint_utils.construct_restore_args(abstract)
    return self._read(step, abstract, arguments)

  def read(self, step: int, fields: Sequence[str]) -> dict[str, Tree]:
    """Returns some fields of the state of a step, as numpy arrays.

    Args:
      step: A saved step.
      fields: Names of fields of the training state, for example 'params'.

    Raises:
      UserError: The checkpoint is damaged.
    """
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    try:
      tree = self._manager.item_metadata(step)["state"].tree
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise self._unreadable(step, error) from error
    chosen = {field: tree[field] for field in fields}
    return self._read(step, chosen, jax.tree.map(lambda _: as_numpy, chosen))

  def _read(self, step: int, chosen: Tree, arguments: Tree) -> Tree:
    path = self._directory / str(step) / "state"
    try:
      with ocp.PyTreeCheckpointer() as checkpointer:
        return checkpointer.restore(
          path,
          ocp.args.PyTreeRestore(
            item=chosen, restore_args=arguments, partial_restore=True
          ),
        )
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise self._unreadable(step, error) from error

  def sums(self, step: int) -> Sums:
    """Returns the metric sums that were saved with a step."""
    restore = ocp.args.Composite(sums=ocp.args.JsonRestore())
    return self._manager.restore(step, args=restore)["sums"]

  def close(self) -> None:
    """Waits for the last save to finish.

    Raises:
      UserError: The checkpoint could not be written.
    """
    try:
      self._manager.wait_until_finished()
      self._manager.close()
    except OSError as error:
      raise self._unwritable(error) from error

  def _check(self, step: int, target: Tree, partly: bool = False) -> None:
    """Compares shapes and dtypes, because Orbax would cast silently."""
    metadata = self._manager.item_metadata(step)["state"]
    if metadata is None:
      raise UserError(
        f"The checkpoint {self._directory / str(step)} has no state. Delete "
        "that folder to continue from an older one."
      )

    def leaves(tree: Tree) -> dict[str, tuple]:
      flat = jax.tree_util.tree_leaves_with_path(
        tree, is_leaf=lambda x: hasattr(x, "shape")
      )
      return {path_of(p): (tuple(x.shape), str(x.dtype)) for p, x in flat}

    saved = metadata.tree
    if partly:
      saved = {field: saved.get(field, {}) for field in target}
    got, wanted = leaves(saved), leaves(target)
    for path in sorted(got.keys() | wanted.keys()):
      if got.get(path) != wanted.get(path):
        raise UserError(
          f"The checkpoint {self._directory / str(step)} is of another model: "
          f"{path} is {got.get(path, 'absent')} there, {wanted.get(path)} "
          "here. Use the configuration that it was trained with, or another "
          "--workdir."
        )

  def _unreadable(self, step: int, error: Exception) -> UserError:
    return UserError(
      f"The checkpoint {self._directory / str(step)} cannot be read: {error}. "
      "Delete that folder to continue from an older one, or use another run."
    )

  def _unwritable(self, error: OSError) -> UserError:
    return UserError(
      f"Cannot write a checkpoint to {self._directory}: {error}. Free some "
      "disk space or choose another --workdir; older checkpoints are intact."
    )


def _replicated(tree: Tree, mesh: Mesh) -> Tree:
  """Returns the shapes of a tree that is replicated over the mesh."""
  sharding = NamedSharding(mesh, parallel.REPLICATED)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )


def _set_place(iterator: grain.DatasetIterator, folder: pathlib.Path) -> None:
  """Sets an iterator to the position that a checkpoint was saved at.

  All processes were at the same global batch, and a batch does not depend on
  the number of processes that share it, so that number may have changed.
  """
  files = sorted(folder.glob("process_0-of-*.json"))
  if not files:
    raise FileNotFoundError(f"{folder} does not say where in the data it was")
  iterator.set_state(json.loads(files[0].read_text()))
  iterator.start_prefetch()
