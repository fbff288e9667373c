"""What the stages of a run share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax.workdir import Workdir


class Context(NamedTuple):
  """What every stage needs.

  Attributes:
    config: the whole configuration, locked.
    workdir: the run's folder.
    mesh: of all devices.
    method: the method's module.
    seconds: wall time by stage, filled as the stages end.
  """

  config: ml_collections.ConfigDict
  workdir: Workdir
  mesh: Mesh
  method: ModuleType
  seconds: dict[str, float]


@contextlib.contextmanager
def timed(context: Context, stage: str) -> Iterator[None]:
  """Adds the wall time of a stage to `context.seconds`."""
  start = time.monotonic()
  yield
  context.seconds[stage] = time.monotonic() - start
