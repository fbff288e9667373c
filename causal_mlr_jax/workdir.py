"""The folder of one run: its lock, its configuration, its artefacts."""

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

# Where the data lie may change; that they are the same is checked apart. So may
# what reading them may use, and what is measured on a trained run, as a
# whole section.
MAY_DIFFER = (
  *(
    f"config.{section}.{key}"
    for section in ("data", "transfer")
    for key in ("dir", "manual_dir", "max_bad_images")
  ),
  "config.data.threads",
  "config.data.cache_mib",
  "config.effects",
)


class Workdir:
  """Names what a run's folder holds.

  Attributes:
    path: the folder, absolute.
  """

  def __init__(self, path: str):
    self.path = pathlib.Path(path).expanduser().absolute()

  @property
  def config(self) -> pathlib.Path:
    """The configuration the run was started with."""
    return self.path / "config.json"

  @property
  def data(self) -> pathlib.Path:
    """The fingerprint of the data, and the labels in their order."""
    return self.path / "data.json"

  @property
  def confounders(self) -> pathlib.Path:
    """The folder of centres, prior and provenance."""
    return self.path / "confounders"

  @property
  def side_inputs(self) -> pathlib.Path:
    """The folder of what was made from the training labels."""
    return self.path / "side_inputs"

  @property
  def started_from(self) -> pathlib.Path:
    """What the parts of the model started from."""
    return self.path / "started_from.json"

  @property
  def checkpoints(self) -> pathlib.Path:
    """The folder of checkpoints."""
    return self.path / "checkpoints"

  @property
  def report(self) -> pathlib.Path:
    """The folder of results."""
    return self.path / "report"

  def part(self, name: str) -> Workdir:
    """Returns the folder of a training that belongs to this run."""
    return Workdir(str(self.path / name))

  def read_started_from(self) -> Mapping[str, Any]:
    """Returns what the parts of the model started from."""
    if self.started_from.exists():
      return atomic_files.read_json(self.started_from)
    return {"model": "not recorded: an earlier version began the training"}

  def is_trained(self) -> bool:
    """Says whether there is a checkpoint."""
    steps = self.checkpoints.glob("[0-9]*")
    return any(step.name.isdigit() for step in steps)

  def check(self, config: ml_collections.ConfigDict) -> None:
    """Refuses a folder that cannot be written or holds another run.

    The first process makes the folder. All of them must call it, as they must
    call all that writes below.

    Raises:
      UserError: with the reason, or the difference of the configurations.
    """
    with parallel.together():
      if jax.process_index() == 0:
        try:
          atomic_files.check_writable(self.path)
        except OSError as error:
          raise UserError(
            f"The workdir {self.path} cannot be written: {error.strerror}. Set "
            "--workdir to a folder that can."
          ) from error
      self._check_config(config)

  def _check_config(self, config: ml_collections.ConfigDict) -> None:
    if not self.config.exists():
      return
    found = atomic_files.read_json(self.config)
    lines = differences(found, as_json(config))
    if lines:
      raise UserError(
        f"The workdir {self.path} holds a run of another configuration; set "
        "another --workdir, or go back to its values (its own first):\n  "
        + "\n  ".join(lines)
      )

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Holds the folder; the system lets go of it when the process ends.

    Raises:
      UserError: another process holds it.
    """
    with contextlib.ExitStack() as held:
      with parallel.together():
        if jax.process_index() == 0:  # it holds the folder for all
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
    """Writes the configuration, unless it is there."""
    with parallel.together():
      if jax.process_index() == 0 and not self.config.exists():
        atomic_files.write_json(self.config, as_json(config))

  def need_checkpoint(self) -> None:
    """Checks that there is a checkpoint.

    Raises:
      UserError: there is none.
    """
    if not self.is_trained():
      raise UserError(
        f"There is no checkpoint in {self.checkpoints} to evaluate; train "
        "first with --mode=train, or set --workdir to the folder of a run."
      )

  def check_data(self, dataset: Dataset) -> None:
    """Remembers the data and the labels of the run; refuses others later.

    Args:
      dataset: prepared.

    Raises:
      UserError: the run was started on other data, a process has others than
        the first one, or another workdir.
    """
    with parallel.together():
      if jax.process_index() == 0 and not self.data.exists():
        known = {
          "fingerprint": dataset.fingerprint,
          "labels": list(dataset.labels),
        }
        atomic_files.write_json(self.data, known)
    with parallel.together():
      self._compare_data(dataset)

  def _compare_data(self, dataset: Dataset) -> None:
    try:
      found = atomic_files.read_json(self.data)["fingerprint"]
    except FileNotFoundError as error:
      raise UserError(
        f"Process {jax.process_index()} does not find {self.data}, which the "
        "first process has written: expected a workdir on a disk that all "
        "hosts share. Set --workdir to a folder there."
      ) from error
    if found != dataset.fingerprint:
      raise UserError(
        f"The workdir {self.path} holds a run on other data: fingerprint "
        f"{found} there, {dataset.fingerprint} in --config.data.dir. Set "
        "another --workdir, or --config.data.dir to the data it was started on."
      )

  def save_parameters(
    self, params: Tree, started_from: Mapping[str, Any]
  ) -> None:
    """Writes what a training starts from, and says it.

    Args:
      params: of the model before the first step, listed in parameters.txt.
      started_from: where its parts come from, see `weights.started_from`.
    """
    count = parameter_overview.count_parameters(params)
    path = self.path / "parameters.txt"
    progress.say(f"model: {count:,} parameters, listed in {path}")
    lines = [f"{part} from {what}" for part, what in started_from.items()]
    for line in lines:
      progress.say(f"model: {line}")
    with parallel.together():
      if jax.process_index() == 0:
        atomic_files.write_json(self.started_from, dict(started_from))
        table = parameter_overview.get_parameter_overview(params)
        with atomic_files.replacing(path) as file:
          file.write("\n".join([*lines, "", table, ""]).encode())


def as_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns a configuration as JSON sees it: tuples as lists."""
  return json.loads(config.to_json_best_effort())


def differences(
  old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "config"
) -> list[str]:
  """Returns a line for each key whose value differs and may not."""
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
