"""The workdir of one run: its lock, its configuration, its artefacts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import jax
import ml_collections
from clu import parameter_overview

from causal_mlr_jax.core import atomic_files, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.data.dataset import Dataset

# Keys that may change between two starts of a run: where the data lie (a
# separate check ensures that they are the same), the resources for reading
# them, whether there is a page, and the whole section of what is measured on
# the trained model.
MAY_DIFFER = (
  *(
    f"config.{section}.{key}"
    for section in ("data", "transfer")
    for key in ("dir", "manual_dir", "max_bad_images")
  ),
  "config.data.threads",
  "config.data.cache_mib",
  "config.evaluate.page",
  "config.effects",
)


class Workdir:
  """The folder of a run and the paths of what it holds.

  Attributes:
    path: Absolute path of the folder.
  """

  def __init__(self, path: str):
    self.path = pathlib.Path(path).expanduser().absolute()

  @property
  def config(self) -> pathlib.Path:
    """The file of the configuration that the run was started with."""
    return self.path / "config.json"

  @property
  def data(self) -> pathlib.Path:
    """The file of the data's fingerprint and of the labels in their order."""
    return self.path / "data.json"

  @property
  def confounders(self) -> pathlib.Path:
    """The folder of the confounders' centres, prior and provenance."""
    return self.path / "confounders"

  @property
  def side_inputs(self) -> pathlib.Path:
    """The folder of the side inputs made from the training labels."""
    return self.path / "side_inputs"

  @property
  def cooccurrence(self) -> pathlib.Path:
    """The file of the counts of the training labels."""
    return self.side_inputs / "cooccurrence.npz"

  @property
  def label_embeddings(self) -> pathlib.Path:
    """The file of the labels' embeddings."""
    return self.side_inputs / "label_embeddings.npz"

  @property
  def thresholds(self) -> pathlib.Path:
    """The file of the labels' thresholds and of the temperature."""
    return self.path / "thresholds.json"

  @property
  def started_from(self) -> pathlib.Path:
    """The file that says where the model's initial parameters came from."""
    return self.path / "started_from.json"

  @property
  def checkpoints(self) -> pathlib.Path:
    """The folder of checkpoints."""
    return self.path / "checkpoints"

  @property
  def report(self) -> pathlib.Path:
    """The folder of results."""
    return self.path / "report"

  @property
  def model_card(self) -> pathlib.Path:
    """The file that tells people what the model is, in Markdown."""
    return self.path / "model_card.md"

  def part(self, name: str) -> Workdir:
    """Returns the workdir of another training that belongs to this run."""
    return Workdir(str(self.path / name))

  def read_started_from(self) -> Mapping[str, Any]:
    """Returns where the initial parameters of each part came from."""
    if self.started_from.exists():
      return atomic_files.read_json(self.started_from)
    return {"model": "not recorded: an earlier version began the training"}

  def is_trained(self) -> bool:
    """Returns whether there is a checkpoint."""
    steps = self.checkpoints.glob("[0-9]*")
    return any(step.name.isdigit() for step in steps)

  def check(self, config: ml_collections.ConfigDict) -> None:
    """Checks that the folder can be written and holds no other run.

    The first process creates the folder. All processes must call this, and also
    every method below that writes.

    Raises:
      UserError: The folder cannot be written, or the configurations differ.
    """
    with parallel.wait_for_all():
      if jax.process_index() == 0:
        try:
          atomic_files.check_writable(self.path)
        except OSError as error:
          raise UserError(
            f"The workdir {self.path} cannot be written: {error.strerror}. Set "
            "--workdir to a folder that can be written."
          ) from error
      self._check_config(config)

  def _check_config(self, config: ml_collections.ConfigDict) -> None:
    if not self.config.exists():
      return
    found = atomic_files.read_json(self.config)
    lines = differences(found, as_json(config))
    if lines:
      raise UserError(
        f"The workdir {self.path} holds a run with another configuration; set "
        "another --workdir, or go back to the values there:\n  "
        + "\n  ".join(lines)
      )

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Locks the folder; the system releases the lock if the process dies.

    Raises:
      UserError: Another process holds the lock.
    """
    with contextlib.ExitStack() as held:
      with parallel.wait_for_all():
        if jax.process_index() == 0:  # it holds the lock for all processes
          self._lock(held.enter_context((self.path / "lock").open("a+")))
      yield

  def _lock(self, file: TextIO) -> None:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      file.seek(0)
      holder = file.read().strip() or "another process"
      raise UserError(
        f"The workdir {self.path} is in use by {holder}; wait for it, stop "
        "it, or set another --workdir."
      ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()

  def save_config(self, config: ml_collections.ConfigDict) -> None:
    """Writes the configuration unless its file exists."""
    with parallel.wait_for_all():
      if jax.process_index() == 0 and not self.config.exists():
        atomic_files.write_json(self.config, as_json(config))

  def check_has_checkpoint(self) -> None:
    """Checks that there is a checkpoint.

    Raises:
      UserError: There is none.
    """
    if not self.is_trained():
      raise UserError(
        f"There is no checkpoint in {self.checkpoints} to evaluate; train "
        "first with --mode=train, or set --workdir to the folder of a run."
      )

  def check_data(self, dataset: Dataset) -> None:
    """Records the run's data and labels; later calls compare the data.

    Args:
      dataset: Prepared data set.

    Raises:
      UserError: The run was started on other data, or a process has other data
        or another workdir than the first one.
    """
    with parallel.wait_for_all():
      if jax.process_index() == 0 and not self.data.exists():
        known = {
          "fingerprint": dataset.fingerprint,
          "labels": list(dataset.labels),
        }
        atomic_files.write_json(self.data, known)
    with parallel.wait_for_all():
      self._compare_data(dataset)

  def _compare_data(self, dataset: Dataset) -> None:
    try:
      found = atomic_files.read_json(self.data)["fingerprint"]
    except FileNotFoundError as error:
      raise UserError(
        f"Process {jax.process_index()} does not find {self.data}, which the "
        "first process has written: expected a workdir on a disk that all "
        "hosts share. Set --workdir to a folder on such a disk."
      ) from error
    if found != dataset.fingerprint:
      raise UserError(
        f"The workdir {self.path} holds a run on other data: fingerprint "
        f"{found} there, {dataset.fingerprint} in --config.data.dir. Set "
        "another --workdir, or set --config.data.dir to the data that the run "
        "was started on."
      )

  def save_image_shape(self, shape: tuple[int, ...]) -> None:
    """Records the shape [H, W, 3] of an image after preprocessing."""
    with parallel.wait_for_all():
      if jax.process_index() == 0:
        known = atomic_files.read_json(self.data)
        if "image_shape" not in known:
          known["image_shape"] = list(shape)
          atomic_files.write_json(self.data, known)

  def save_parameters(
    self, params: Tree, started_from: Mapping[str, Any]
  ) -> None:
    """Records the initial parameters and where they come from.

    Args:
      params: Parameters before the first step; parameters.txt lists them.
      started_from: Where each part of the model comes from; see
        `weights.started_from`.
    """
    count = parameter_overview.count_parameters(params)
    path = self.path / "parameters.txt"
    progress.say(f"model: {count:,} parameters, listed in {path}")
    lines = [f"{part} from {what}" for part, what in started_from.items()]
    for line in lines:
      progress.say(f"model: {line}")
    with parallel.wait_for_all():
      if jax.process_index() == 0:
        atomic_files.write_json(self.started_from, dict(started_from))
        table = parameter_overview.get_parameter_overview(params)
        with atomic_files.replacing(path) as file:
          file.write("\n".join([*lines, "", table, ""]).encode())


def as_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns a configuration as a dict of JSON values (tuples become lists)."""
  return json.loads(config.to_json_best_effort())


def differences(
  old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "config"
) -> list[str]:
  """Returns a line for each key that differs and is not in `MAY_DIFFER`."""
  lines = []
  for key in sorted(old.keys() | new.keys()):
    a, b = old.get(key, "(absent)"), new.get(key, "(absent)")
    name = f"{prefix}.{key}"
    if name in MAY_DIFFER:
      continue
    if isinstance(a, Mapping) and isinstance(b, Mapping):
      lines += differences(a, b, name)
    elif a != b:
      lines.append(f"{name}: {a!r} there, {b!r} here")
  return lines
